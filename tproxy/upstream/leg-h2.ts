/** One HTTP/2 session to a server, shared by the requests of one workload; node:http2 does the framing. */
import {connect, constants, type ClientHttp2Session, type ClientHttp2Stream} from 'node:http2';
import type {Socket} from 'node:net';
import type {Carried, Carrier, LegPlace, Loss} from './carry.ts';
import type {OutgoingRequest, Route} from './contract.ts';
import {unreachable} from './failures.ts';
import {H2Stream} from './h2-stream.ts';
import {pushAsH2} from './headers.ts';
import {LIMITS} from './limits.ts';

/** RFC 9113 §8.3.1: the pseudo-headers first, then the lines in lower case. */
function headerBlock(route: Route, request: OutgoingRequest): string[] {
  const scheme = route.scheme === 'https' ? 'https' : 'http';
  const out = [':method', request.method, ':scheme', scheme, ':authority', request.authority, ':path', request.target];
  pushAsH2(out, request.headers);
  if (request.wantsTrailers) out.push('te', 'trailers');
  if (request.body.kind === 'length') out.push('content-length', String(request.body.bytes));
  if (request.expectContinue) out.push('expect', '100-continue');
  return out;
}

/** Every option of node:http2 and nghttp2 said, since the defaults leave holes. (@types/node does not know all of them.) */
const SESSION_OPTIONS = {
  settings: {
    enablePush: false,
    initialWindowSize: LIMITS.streamWindowBytes,
    maxHeaderListSize: LIMITS.maxHeaderListBytes,
    headerTableSize: LIMITS.headerTableBytes,
    maxFrameSize: 16_384,
  },
  // nghttp2 itself ends a header block of more than 8 CONTINUATION frames (CVE-2024-28182).
  maxHeaderListPairs: LIMITS.maxHeaderPairs,
  maxSessionMemory: LIMITS.sessionMemoryMb,
  peerMaxConcurrentStreams: LIMITS.maxStreamsPerSession,
  maxSessionInvalidFrames: LIMITS.maxInvalidFrames,
  maxSettings: LIMITS.maxSettings,
  // We send one ping and one SETTINGS frame at a time.
  maxOutstandingPings: 2,
  // A server opens no streams: pushes are off.
  maxReservedRemoteStreams: 0,
  maxDeflateDynamicTableSize: LIMITS.headerTableBytes,
};

export class H2Leg {
  readonly place: LegPlace;
  readonly #session: ClientHttp2Session;
  readonly #streams = new Set<H2Stream>();
  readonly #onClosed: (leg: H2Leg) => void;
  readonly #now: () => number;
  #usable = true;
  #carriedAny = false;
  /** Frames of this tick that make us work and carry nothing. */
  #controlFrames = 0;
  #idleSinceMs: number;
  #pingSentMs: number | null = null;
  #heardMs: number;
  /** From GOAWAY: streams above it were not processed (RFC 9113 §6.8). */
  #lastProcessed = Infinity;

  /** `socket` has negotiated h2, or is one to a server that is known to speak it. */
  constructor(socket: Socket, place: LegPlace, onClosed: (leg: H2Leg) => void, now: () => number) {
    this.place = place;
    this.#onClosed = onClosed;
    this.#now = now;
    this.#idleSinceMs = now();
    this.#heardMs = this.#idleSinceMs;
    // A session has no half-open state: where the server ends the connection, it ends (and node:http2 would not notice).
    socket.allowHalfOpen = false;
    // Each request says its own authority. The server's name as a URL would throw for those that URLs read as IPv4 ("a.5").
    this.#session = connect('http://leg.invalid', {createConnection: () => socket, ...SESSION_OPTIONS});
    const session = this.#session;
    session.setLocalWindowSize(LIMITS.sessionWindowBytes);
    session.on('error', () => this.#gone());
    session.on('close', () => this.#gone());
    session.on('goaway', (_code: number, lastStreamId: number) => {
      this.#lastProcessed = Math.min(this.#lastProcessed, lastStreamId);
      this.#retire();
    });
    session.on('remoteSettings', () => this.#controlFrame());
    session.on('ping', () => this.#controlFrame());
    // An ORIGIN or ALTSVC frame would be a way around the decision; neither is listened to.
  }

  /** Bytes of answers that wait here for clients to take them. */
  waitingBytes(): number {
    let bytes = 0;
    for (const stream of this.#streams) bytes += stream.waitingBytes;
    return bytes;
  }

  /** Cuts streams whose clients are slow until `bytes` are free, or none is left; answers what they held. */
  cutWaiting(bytes: number): number {
    let freed = 0;
    for (const stream of [...this.#streams]) {
      if (freed >= bytes) break;
      const held = stream.waitingBytes;
      if (held === 0) continue;
      stream.cutSlow();
      freed += held;
    }
    return freed;
  }

  get usable(): boolean {
    return this.#usable;
  }

  hasRoom(): boolean {
    const max = this.#session.remoteSettings?.maxConcurrentStreams ?? LIMITS.maxStreamsPerSession;
    return this.#usable && this.#streams.size < Math.min(max, LIMITS.maxStreamsPerSession);
  }

  get streams(): number {
    return this.#streams.size;
  }

  /** Whether a request was carried before: then a failure may be a stale connection's. */
  get carriedAny(): boolean {
    return this.#carriedAny;
  }

  carry(route: Route, request: OutgoingRequest, carried: Carried, reused: boolean): Carrier {
    let stream: ClientHttp2Stream;
    const endStream = request.body.kind === 'none' || (request.body.kind === 'length' && request.body.bytes === 0);
    const trailers = request.body.kind === 'chunked';
    try {
      // @types/node has no signature for a list; Node has it since 22.17: lines keep their order and are not folded.
      const list = headerBlock(route, request) as unknown as Record<string, string>;
      stream = this.#session.request(list, {endStream, waitForTrailers: trailers});
    } catch (error) {
      return new Refused(carried, this.place.where, error as NodeJS.ErrnoException);
    }
    this.#carriedAny = true;
    if (this.#streams.size === 0) this.#heardMs = this.#now();
    const carrier: H2Stream = new H2Stream(stream, {
      carried,
      place: this.place,
      reused,
      head: request.method === 'HEAD',
      trailers,
      unprocessed: (id) => id > this.#lastProcessed,
      done: () => {
        this.#streams.delete(carrier);
        if (this.#streams.size === 0) {
          this.#idleSinceMs = this.#now();
          if (!this.#usable) this.#session.close();
        }
      },
    });
    this.#streams.add(carrier);
    return carrier;
  }

  /** The coarse clock: idle sessions, silent ones, floods. */
  tick(nowMs: number): void {
    this.#controlFrames = 0;
    if (this.#session.destroyed) return;
    if (this.#streams.size === 0) {
      if (nowMs - this.#idleSinceMs >= LIMITS.idleSessionMs) this.close();
      return;
    }
    let heard = false;
    for (const stream of this.#streams) if (stream.takeActivity(nowMs)) heard = true;
    if (heard) {
      this.#heardMs = nowMs;
      this.#pingSentMs = null;
    } else if (this.#pingSentMs !== null) {
      if (nowMs - this.#pingSentMs >= LIMITS.pingAfterMs) this.destroy();
    } else if (nowMs - this.#heardMs >= LIMITS.pingAfterMs) {
      this.#pingSentMs = nowMs;
      this.#session.ping(() => {
        this.#heardMs = this.#now();
        this.#pingSentMs = null;
      });
    }
  }

  /** No new streams; those under way finish. */
  close(): void {
    this.#retire();
    if (this.#streams.size === 0) this.#session.close();
  }

  destroy(): void {
    this.#retire();
    this.#session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  #controlFrame(): void {
    // CVE-2019-9512, CVE-2019-9515: each of these makes us answer.
    if (++this.#controlFrames > LIMITS.maxControlFramesPerTick) this.destroy();
  }

  #retire(): void {
    if (!this.#usable) return;
    this.#usable = false;
    this.#onClosed(this);
  }

  #gone(): void {
    this.#retire();
  }
}

/** The session closed this very moment, or has no stream numbers left: another one may do. */
const SESSION_OVER: ReadonlySet<string | undefined> = new Set([
  'ERR_HTTP2_INVALID_SESSION',
  'ERR_HTTP2_GOAWAY_SESSION',
  'ERR_HTTP2_OUT_OF_STREAMS',
]);

/** A request that node:http2 would not send; nothing left. */
class Refused implements Carrier {
  #over = false;

  constructor(carried: Carried, where: string, error: NodeJS.ErrnoException) {
    const loss: Loss = SESSION_OVER.has(error.code)
      ? {failure: unreachable(`the HTTP/2 session to ${where} takes no more requests`), retry: 'always'}
      : {failure: {reason: 'MalformedRequest', message: 'the request cannot be written as HTTP/2'}, retry: 'never'};
    process.nextTick(() => {
      if (!this.#over) carried.lost(loss);
    });
  }

  write(): boolean {
    return true;
  }

  end(): void {}

  abort(): void {
    this.#over = true;
  }

  resume(): void {}
}
