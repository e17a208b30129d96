/** Who saw what: every server of a world writes here, a step takes what has come since the last. */
import type {Socket} from 'node:net';
import {canonical} from '../format/places.ts';
import {headerMap, type Sighting} from '../observation.ts';

export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  /** name, value, name, value ... */
  readonly headers: readonly string[];
}

const endpoint = (ip: string | undefined, port: number | undefined): string => `${canonical(ip ?? '')} ${port ?? 0}`;

export class Ledger {
  #sightings: Sighting[] = [];
  /** Connections that were written down since the last take, with what was noted while only bytes were seen. */
  #counted = new Map<unknown, Sighting | null>();
  /** The near ends of parents' connections to servers: who dialled. */
  readonly #carriers = new Map<string, string>();
  #woken: (() => void) | null = null;

  /** A parent has dialled a server. */
  carries(parent: string, dialled: Socket): void {
    const key = endpoint(dialled.localAddress, dialled.localPort);
    this.#carriers.set(key, parent);
    dialled.once('close', () => this.#carriers.delete(key));
  }

  /** The parent that dialled this connection; null: nobody's but the proxy's own. */
  carrierOf(accepted: Socket): string | null {
    return this.#carriers.get(endpoint(accepted.remoteAddress, accepted.remotePort)) ?? null;
  }

  request(
    server: string,
    connection: unknown,
    carriedBy: string | null,
    seen: SeenRequest,
    parent: {readonly passedOn: boolean} | null = null,
  ): void {
    // The bytes that the head came in were noted a moment ago: they were this request.
    const noted = this.#counted.get(connection);
    if (noted != null) this.#sightings = this.#sightings.filter((one) => one !== noted);
    this.#counted.set(connection, null);
    this.#add({
      server,
      how: 'request',
      parent: parent !== null,
      passedOn: parent?.passedOn ?? false,
      carriedBy,
      method: seen.method,
      target: seen.target,
      headers: headerMap(seen.headers),
    });
  }

  /** Bytes after the handshake that are no request (yet): once a connection and step. */
  bytes(server: string, connection: unknown, carriedBy: string | null, parent = false): void {
    if (this.#counted.has(connection)) return;
    const sighting: Sighting = {
      server,
      how: 'bytes',
      parent,
      passedOn: false,
      carriedBy,
      method: null,
      target: null,
      headers: new Map(),
    };
    this.#counted.set(connection, sighting);
    this.#add(sighting);
  }

  connect(server: string, connection: unknown, authority: string, passedOn: boolean): void {
    this.#counted.set(connection, null);
    this.#add({
      server,
      how: 'connect',
      parent: true,
      passedOn,
      carriedBy: null,
      method: 'CONNECT',
      target: authority,
      headers: new Map(),
    });
  }

  #add(sighting: Sighting): void {
    this.#sightings.push(sighting);
    this.#woken?.();
  }

  /** What has come since the last call. */
  take(): readonly Sighting[] {
    const taken = this.#sightings;
    this.#sightings = [];
    this.#counted.clear();
    return taken;
  }

  /** Resolves when `server` has seen something, or after `timeoutMs`. */
  async until(server: string, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const there = (): boolean => this.#sightings.some((one) => one.server === server && one.how !== 'connect');
    while (!there() && performance.now() < deadline) {
      const {promise, resolve} = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, deadline - performance.now());
      this.#woken = resolve;
      await promise;
      clearTimeout(timer);
    }
    this.#woken = null;
  }
}
