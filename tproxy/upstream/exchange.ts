/** One request and its response: finds a leg, keeps what may have to be sent again, and says each thing once. */
import type {Duplex} from 'node:stream';
import type {HeaderLines} from '../../policy/index.ts';
import type {Carried, Carrier, Loss} from './carry.ts';
import type {Exchange, Failure, OutgoingRequest, ResponseHandlers, Route} from './contract.ts';
import {hostPort} from './failures.ts';
import {LIMITS} from './limits.ts';
import {carriageOf, type Carriage} from './open.ts';
import type {Parents} from './parent.ts';
import type {Acquired, LegPool} from './pool.ts';
import type {AbsoluteForm} from './request-head.ts';
import type {Share} from './shares.ts';

/** RFC 9110 §9.2.2: sending these twice asks for nothing more than sending them once. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/**
 * With `Max-Forwards: 0` a parent answers TRACE itself, by all that it was sent: its credentials too (RFC 9110 §9.3.8; as squid
 * did, CVE-2025-62168). Some parents read the method in any case.
 */
const isEchoed = (method: string): boolean => method.length === 5 && method.toUpperCase() === 'TRACE';

export class UpstreamExchange implements Exchange, Carried {
  readonly #pool: LegPool;
  readonly #parents: Parents;
  readonly #route: Route;
  readonly #request: OutgoingRequest;
  readonly #handlers: ResponseHandlers;
  #carrier: Carrier | null = null;
  #acquiring: {cancel(): void} | null = null;
  /** The body so far, to be sent when there is a leg and again on another; null: too much of it, or no longer needed. */
  #kept: Buffer[] | null = [];
  readonly #share: Share;
  #keptBytes = 0;
  #endTrailers: HeaderLines | null = null;
  /** A write() said false. */
  #blocked = false;
  #retries = 0;
  #headPassed = false;
  #over = false;

  constructor(pool: LegPool, parents: Parents, route: Route, request: OutgoingRequest, handlers: ResponseHandlers) {
    this.#pool = pool;
    this.#share = pool.shareOf(route.workload);
    this.#parents = parents;
    this.#route = route;
    this.#request = request;
    this.#handlers = handlers;
  }

  /** Finds a leg. Of the handlers only dialled() may be called before this returns. */
  start(fresh: boolean): void {
    const {client, upgrade, method} = this.#request;
    const carriage = carriageOf(
      this.#route,
      this.#parents,
      // A WebSocket needs a tunnel (RFC 6455 §4.1).
      upgrade !== null || (client === 'h2' && this.#route.scheme === 'http') || isEchoed(method),
    );
    if ('reason' in carriage) {
      process.nextTick(() => this.#failed(carriage));
      return;
    }
    const demand = {
      route: this.#route,
      carriage,
      wants: upgrade === null ? client : ('h1' as const),
      onlyH1: upgrade !== null,
      fresh,
    };
    let sync = true;
    const step = this.#pool.acquire(demand, (acquired) => {
      sync = false;
      this.#acquiring = null;
      this.#acquired(acquired, carriage);
    });
    if (sync) this.#acquiring = step;
  }

  #acquired(acquired: Acquired, carriage: Carriage): void {
    if ('failure' in acquired) {
      this.#failed(acquired.failure);
      return;
    }
    const {leg, reused} = acquired;
    const retries = this.#retries;
    if (!this.#over) this.#handlers.dialled(leg.place.peer, leg.place.proxy);
    // Given up, perhaps just now: the policy may have changed, and the address be one that it denies.
    if (this.#over) {
      if (acquired.kind === 'h1') acquired.leg.destroy();
      return;
    }
    const carrier =
      acquired.kind === 'h1'
        ? acquired.leg.carry(this.#request, this.#absolute(carriage), this, reused)
        : acquired.leg.carry(this.#route, this.#request, this, reused);
    // A leg may fail at once, and then another is on its way already.
    if (this.#over || this.#retries !== retries) return;
    this.#carrier = carrier;
    let ready = true;
    for (const chunk of this.#kept ?? []) ready = carrier.write(chunk);
    if (this.#keptBytes > LIMITS.maxReplayBytes) this.#forget();
    if (this.#endTrailers !== null) carrier.end(this.#endTrailers);
    else if (ready && this.#blocked) this.drain();
  }

  /** What a request to the parent itself says: the name that was decided on, whatever the client's Host looks like. */
  #absolute(carriage: Carriage): AbsoluteForm | null {
    if (carriage.kind !== 'absolute') return null;
    const {name, port} = this.#route;
    const authority = port === 80 ? (name.includes(':') ? `[${name}]` : name) : hostPort(name, port);
    return {authority, authorization: carriage.parent.authorization};
  }

  write(chunk: Buffer): boolean {
    if (this.#over || chunk.length === 0) return true;
    if (this.#kept !== null) {
      this.#kept.push(chunk);
      this.#keptBytes += chunk.length;
      const fits = this.#share.keep(chunk.length);
      if (this.#carrier !== null && (!fits || this.#keptBytes > LIMITS.maxReplayBytes)) this.#forget();
    }
    const ready = this.#carrier !== null && this.#carrier.write(chunk);
    if (!ready) this.#blocked = true;
    return ready;
  }

  end(trailers: HeaderLines): void {
    if (this.#over || this.#endTrailers !== null) return;
    this.#endTrailers = trailers;
    this.#carrier?.end(trailers);
  }

  abort(): void {
    if (this.#over) return;
    this.#finish();
    this.#acquiring?.cancel();
    this.#carrier?.abort();
  }

  resume(): void {
    if (!this.#over) this.#carrier?.resume();
  }

  // What the leg says.

  informational(status: number, headers: HeaderLines): void {
    this.#handlers.informational(status, headers);
  }

  head(status: number, headers: HeaderLines, bytes: number | null | 'none'): void {
    this.#headPassed = true;
    this.#forget();
    this.#handlers.head(status, headers, bytes);
  }

  body(chunk: Buffer): boolean {
    return this.#handlers.body(chunk);
  }

  /** The answer is whole; a request that is not is cut off by its leg, and what is still written goes nowhere. */
  ended(trailers: HeaderLines): void {
    this.#finish();
    this.#handlers.end(trailers);
  }

  drain(): void {
    if (this.#over || !this.#blocked) return;
    this.#blocked = false;
    this.#handlers.drain();
  }

  upgraded(headers: HeaderLines, stream: Duplex): void {
    this.#finish();
    this.#handlers.upgraded(headers, stream);
  }

  lost(loss: Loss): void {
    this.#carrier = null;
    if (this.#over) return;
    const again = loss.retry === 'always' || (loss.retry === 'idempotent' && IDEMPOTENT.has(this.#request.method));
    // A body that is no longer here cannot be sent again (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
    if (again && !this.#headPassed && this.#kept !== null && this.#retries < LIMITS.maxRetries) {
      this.#retries++;
      this.start(true);
      return;
    }
    this.#failed(loss.failure);
  }

  #failed(failure: Failure): void {
    if (this.#over) return;
    this.#finish();
    this.#handlers.failed(failure);
  }

  #finish(): void {
    this.#over = true;
    this.#forget();
  }

  /** What was kept of the body is no longer needed, or too much. */
  #forget(): void {
    if (this.#kept === null) return;
    this.#kept = null;
    this.#share.replayBytes -= this.#keptBytes;
  }
}
