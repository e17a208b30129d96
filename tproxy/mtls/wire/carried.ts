/** One connection that the wire carries, and what all stages of it share: refusal, deadline, its place among the living. */
import type {Socket} from 'node:net';
import type {Endpoint} from '../../../policy/index.ts';
import {isOutdated, type Footing} from './footing.ts';
import {WIRE_KEEP_ALIVE_MS} from './limits.ts';
import {Joint, ignore, reset, type End} from './joint.ts';
import type {WireEvent, WireServices} from './services.ts';

export interface Living {
  readonly carried: Set<Carried>;
  /** Connections by source address. */
  readonly bySource: Map<string, number>;
}

export class Carried {
  readonly services: WireServices;
  readonly source: Endpoint;
  readonly destination: Endpoint;
  readonly direction: 'in' | 'out';
  readonly socket: Socket;
  readonly #living: Living;
  #timer: NodeJS.Timeout | null = null;
  #joint: Joint | null = null;
  #footing: Footing | null = null;
  /** Ends that were made and are not joined yet. */
  #other: End | null = null;
  #over = false;

  constructor(
    services: WireServices,
    living: Living,
    direction: 'in' | 'out',
    socket: Socket,
    source: Endpoint,
    destination: Endpoint,
  ) {
    this.services = services;
    this.#living = living;
    this.direction = direction;
    this.socket = socket;
    this.source = source;
    this.destination = destination;
    living.carried.add(this);
    living.bySource.set(source.ip, (living.bySource.get(source.ip) ?? 0) + 1);
    socket.on('error', ignore);
    socket.once('close', this.#gone);
  }

  get over(): boolean {
    return this.#over;
  }

  /** Whether it rests on what the table does not say any more; not yet, before join(). */
  isOutdated(): boolean {
    return this.#footing !== null && isOutdated(this.#footing, this, this.services);
  }

  /** `late` runs unless deadline() is called again before. */
  deadline(ms: number, late: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (!this.#over) late();
    }, ms);
  }

  /** Dials the other end; `connected` is told once, `failed` refuses. */
  dial(source: Endpoint, destination: Endpoint, connected: (socket: Socket) => void): void {
    let made: Socket;
    try {
      made = this.services.dial(source, destination);
    } catch (error) {
      this.refuse(`cannot dial: ${(error as Error).message}`);
      return;
    }
    this.#other = {stream: made, raw: made};
    let why = 'it was closed';
    made.on('error', (error: NodeJS.ErrnoException) => (why = error.code ?? error.message));
    const lost = (): void => this.fail(why);
    made.once('close', lost);
    this.deadline(this.services.limits.connectTimeoutMs, () => this.fail('no answer in time'));
    made.once('connect', () => {
      made.off('close', lost);
      if (this.#over) return;
      made.setNoDelay(true);
      made.setKeepAlive(true, WIRE_KEEP_ALIVE_MS);
      connected(made);
    });
  }

  /**
   * Both ends are as they should be: what was read of `near` goes first. What the table says of them may have changed since the
   * first packet, which whoever opens it can put off for seconds: then it is refused, for no later look would find it.
   */
  join(near: End, far: End, footing: Footing, first: Buffer | null, event: WireEvent): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#footing = footing;
    if (this.isOutdated()) {
      this.refuse('while it was opened, the address became another’s or the pod Strict');
      return;
    }
    this.socket.off('close', this.#gone);
    this.services.count(event);
    this.#joint = new Joint(near, far, {closed: () => this.#end()});
    this.#joint.start(first);
  }

  /** Not let through, for a reason that an operator is to read. The client sees a reset. */
  refuse(reason: string): void {
    if (this.#over) return;
    this.services.count('mtls.refused');
    this.#say('warn', 'mtls.refused', reason);
    this.destroy();
  }

  /** The other end cannot be reached, which is nobody's fault: the client sees what it would have seen, a reset. */
  fail(reason: string): void {
    if (this.#over) return;
    this.#say('info', 'mtls.unreachable', reason);
    this.destroy();
  }

  #say(level: 'info' | 'warn', event: string, reason: string): void {
    const {source, destination, direction} = this;
    const fields = {direction, source: source.ip, destination: destination.ip, port: destination.port};
    this.services.journal.notice(
      level,
      event,
      `${source.ip} to ${destination.ip}:${destination.port}: ${reason}`,
      fields,
    );
  }

  /** A cut. */
  destroy(): void {
    if (this.#joint !== null) {
      this.#joint.destroy();
      return;
    }
    this.#end();
    reset({stream: this.socket, raw: this.socket});
    if (this.#other !== null) reset(this.#other);
  }

  readonly #gone = (): void => {
    if (!this.#over) this.destroy();
  };

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const {carried, bySource} = this.#living;
    carried.delete(this);
    const left = (bySource.get(this.source.ip) ?? 1) - 1;
    if (left === 0) bySource.delete(this.source.ip);
    else bySource.set(this.source.ip, left);
  }
}
