/** What the relay dialled for pods of ours and lives: cut as the wire's own connections are, where the table is another. */
import type {Socket} from 'node:net';
import {SallyportError} from '../../../runtime/errors.ts';
import {isOutdated, type Footing, type Way} from './footing.ts';
import type {WireServices} from './services.ts';

interface Dial {
  readonly way: Way;
  readonly footing: Footing;
}

export class Dials {
  readonly #services: Pick<WireServices, 'enrolment' | 'isHere'>;
  readonly #living = new Map<Socket, Dial>();

  constructor(services: Pick<WireServices, 'enrolment' | 'isHere'>) {
    this.#services = services;
  }

  /** From its first packet on: a handshake that is still on is one that was begun by the former table. */
  follow(socket: Socket, way: Way, footing: Footing): void {
    this.#living.set(socket, {way, footing});
    socket.once('close', () => this.#living.delete(socket));
  }

  recheck(): void {
    for (const [socket, {way, footing}] of this.#living)
      if (isOutdated(footing, way, this.#services))
        socket.destroy(
          new SallyportError(
            'PeerChanged',
            `${way.destination.ip} is another's now, or must not be spoken to in plain`,
            '',
          ),
        );
  }
}
