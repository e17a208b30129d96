/** One HTTP/1.1 connection to a server or to a parent proxy: one request at a time, kept for the next where both sides mean to. */
import type {Socket} from 'node:net';
import {
  CHUNK_FOOTER,
  chunkHeader,
  createResponseParser,
  endToEnd,
  get,
  listOf,
  type Malformed,
  type ResponseHead,
} from '../http1/index.ts';
import type {HeaderLines} from '../../policy/index.ts';
import {flushAtEndOfTurn, type Pending} from '../turn.ts';
import type {Carried, Carrier, LegPlace, Loss} from './carry.ts';
import type {Failure, OutgoingRequest} from './contract.ts';
import {malformed, proxyRefused, unreachable} from './failures.ts';
import {LIMITS} from './limits.ts';
import {encodeChunkEnd, encodeHead, type AbsoluteForm} from './request-head.ts';
import {wantsClientCertificate} from './tls-failures.ts';

export class H1Leg implements Carrier, Pending {
  readonly place: LegPlace;
  readonly #socket: Socket;
  readonly #parser = createResponseParser();
  /** Called when the leg may carry the next request; not called for one that is closed. */
  readonly #onIdle: (leg: H1Leg) => void;
  readonly #onClosed: (leg: H1Leg) => void;
  readonly #now: () => number;
  #carried: Carried | null = null;
  #reused = false;
  #closed = false;
  /** The request's head, until the end of the turn or its first body bytes: they leave in one write. */
  #head: string | null = null;
  #framing: 'none' | 'length' | 'chunked' = 'none';
  /** Body bytes that the declared length still asks for. */
  #owed = 0;
  #requestDone = false;
  #method = '';
  #upgrade = false;
  #keepAlive = false;
  #bodyless = false;
  /** Something of this response has come. */
  #heard = false;
  #headPassed = false;
  #held = false;
  #pumping = false;
  #eof = false;
  #active = true;
  #activeMs = 0;
  /** When an idle leg is closed. */
  idleUntilMs = 0;
  #idleMs: number = LIMITS.idleLegMs;
  #absolute = false;

  constructor(
    socket: Socket,
    place: LegPlace,
    onIdle: (leg: H1Leg) => void,
    onClosed: (leg: H1Leg) => void,
    now: () => number,
  ) {
    this.place = place;
    this.#now = now;
    this.#socket = socket;
    this.#onIdle = onIdle;
    this.#onClosed = onClosed;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    socket.on('drain', this.#onDrain);
    // A tunnel comes paused.
    socket.resume();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends a request; the leg must be idle. `absolute`: it goes to the parent, in absolute-form. */
  carry(request: OutgoingRequest, absolute: AbsoluteForm | null, carried: Carried, reused: boolean): Carrier {
    this.#carried = carried;
    this.#reused = reused;
    this.#method = request.method;
    this.#upgrade = request.upgrade !== null;
    this.#absolute = absolute !== null;
    this.#framing = request.body.kind;
    this.#owed = request.body.kind === 'length' ? request.body.bytes : 0;
    this.#heard = false;
    this.#headPassed = false;
    this.#held = false;
    this.#active = true;
    this.#parser.expect({method: request.method, upgrade: this.#upgrade});
    this.#requestDone = false;
    const head = encodeHead(request, absolute);
    if (head === null) {
      process.nextTick(() =>
        this.#lose({
          failure: {reason: 'MalformedRequest', message: 'the request cannot be written as HTTP/1.1'},
          retry: 'never',
        }),
      );
      return this;
    }
    this.#requestDone = request.body.kind === 'none';
    this.#head = head;
    flushAtEndOfTurn(this);
    // The parser speaks first where bytes lay there before the request was sent: they answer nothing.
    this.#pump();
    return this;
  }

  write(chunk: Buffer): boolean {
    if (this.#closed || this.#requestDone || chunk.length === 0) return true;
    this.#active = true;
    const socket = this.#socket;
    if (this.#framing === 'length') {
      this.#owed -= chunk.length;
      if (this.#owed < 0) {
        // More than was declared would be the beginning of a request of the client's own making.
        this.#lose({
          failure: {reason: 'MalformedRequest', message: 'the request body is longer than its Content-Length'},
          retry: 'never',
        });
        return true;
      }
      if (this.#head === null) return socket.write(chunk);
      socket.cork();
      this.flush();
      const ready = socket.write(chunk);
      socket.uncork();
      return ready;
    }
    socket.cork();
    this.flush();
    socket.write(chunkHeader(chunk.length), 'latin1');
    socket.write(chunk);
    const ready = socket.write(CHUNK_FOOTER, 'latin1');
    socket.uncork();
    return ready;
  }

  end(trailers: HeaderLines): void {
    if (this.#closed || this.#requestDone) return;
    this.#active = true;
    if (this.#owed > 0) {
      this.#lose({
        failure: {reason: 'MalformedRequest', message: 'the request body is shorter than its Content-Length'},
        retry: 'never',
      });
      return;
    }
    this.#requestDone = true;
    const socket = this.#socket;
    if (this.#framing !== 'chunked') return;
    socket.cork();
    this.flush();
    socket.write(encodeChunkEnd(trailers), 'latin1');
    socket.uncork();
  }

  abort(): void {
    this.#carried = null;
    this.destroy();
  }

  resume(): void {
    if (!this.#held || this.#closed) return;
    this.#held = false;
    this.#active = true;
    if (this.#pumping) return;
    this.#pump();
    if (!this.#held && !this.#closed) this.#socket.resume();
  }

  /** The coarse clock: gives up a server that owes an answer, or takes no body, for too long. */
  tick(nowMs: number): void {
    if (this.#carried === null) return;
    if (this.#active || this.#held) {
      this.#active = false;
      this.#activeMs = nowMs;
    } else if (nowMs - this.#activeMs >= LIMITS.silenceMs) {
      this.#lose({failure: unreachable(`${this.place.where} was silent for too long`), retry: 'never'});
    }
  }

  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClosed(this);
    this.#socket.destroy();
  }

  /** The head, if it has not left. */
  flush(): void {
    const head = this.#head;
    if (head === null || this.#closed || this.#socket.destroyed) return;
    this.#head = null;
    this.#socket.write(head, 'latin1');
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#active = true;
    this.#heard = true;
    if (this.#carried === null) {
      // Bytes that nobody asked for, on an idle leg: they would be the next request's answer.
      this.destroy();
      return;
    }
    if (this.#head !== null) {
      // Nor is it the answer to a request that has not left yet (response queue poisoning).
      this.#lose(this.#dropped());
      return;
    }
    this.#parser.feed(chunk);
    this.#pump();
    if (this.#held) this.#socket.pause();
  };

  readonly #onDrain = (): void => {
    this.#active = true;
    if (!this.#requestDone) this.#carried?.drain();
  };

  readonly #onEnd = (): void => {
    this.#eof = true;
    if (!this.#held) this.#atEof();
  };

  readonly #onError = (): void => this.#lose(this.#dropped());

  readonly #onClose = (): void => {
    if (this.#carried === null) this.destroy();
    else if (!this.#held || !this.#eof) this.#lose(this.#dropped());
  };

  /** The server half-closed: the end of a close-delimited body, or a message that is cut. */
  #atEof(): void {
    if (this.#carried === null) {
      this.destroy();
      return;
    }
    const event = this.#parser.finish();
    if (event.kind === 'end') this.#finished(event.trailers);
    else if (event.kind === 'bad') this.#lose(this.#bad(event));
    else this.#lose(this.#dropped());
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    this.#events();
    this.#pumping = false;
    if (this.#eof && !this.#held && this.#carried !== null) this.#atEof();
  }

  #events(): void {
    for (;;) {
      const carried = this.#carried;
      if (carried === null || this.#held) return;
      const event = this.#parser.next();
      switch (event.kind) {
        case 'more':
          return;
        case 'body':
          if (!carried.body(event.chunk)) this.#held = true;
          break;
        case 'head':
          this.#onHead(carried, event.head);
          break;
        case 'end':
          this.#finished(event.trailers);
          return;
        case 'informational':
          carried.informational(event.head.status, endToEnd(event.head.headers));
          break;
        case 'bad':
          this.#lose(this.#bad(event));
          return;
      }
    }
  }

  #onHead(carried: Carried, head: ResponseHead): void {
    const {status, framing, headers} = head;
    if (status === 101) {
      this.#switched(carried, headers);
      return;
    }
    if (status === 407 && this.#absolute) {
      // RFC 9110 §11.7.1: between us and the parent; the client has nothing to do with it.
      this.#lose({
        failure: proxyRefused(`the UpstreamProxy ${this.place.proxy} wants other credentials (407); see its \`auth\``),
        retry: 'never',
      });
      return;
    }
    this.#headPassed = true;
    this.#keepAlive = head.keepAlive;
    this.#idleMs = idleMsOf(headers);
    this.#bodyless = this.#method === 'HEAD' || status === 304;
    const bytes =
      framing.kind === 'none' && (this.#bodyless || status === 204)
        ? 'none'
        : framing.kind === 'length'
          ? framing.bytes
          : framing.kind === 'none'
            ? 0
            : null;
    carried.head(status, endToEnd(headers, this.#bodyless), bytes);
  }

  /** RFC 9110 §7.8: the connection is the WebSocket's from the byte after the head. */
  #switched(carried: Carried, headers: HeaderLines): void {
    const protocols = listOf(headers, 'upgrade');
    if (protocols.length !== 1 || protocols[0] !== 'websocket') {
      this.#lose({
        failure: malformed(`${this.place.where} switched to a protocol that was not asked for`),
        retry: 'never',
      });
      return;
    }
    const socket = this.#socket;
    const first = this.#parser.rest();
    this.#carried = null;
    this.#closed = true;
    this.#onClosed(this);
    socket.pause();
    socket.removeListener('data', this.#onData);
    socket.removeListener('end', this.#onEnd);
    socket.removeListener('error', this.#onError);
    socket.removeListener('close', this.#onClose);
    socket.removeListener('drain', this.#onDrain);
    if (first.length > 0) socket.unshift(first);
    carried.upgraded(endToEnd(headers), socket);
  }

  #finished(trailers: HeaderLines): void {
    const carried = this.#carried!;
    // What follows a whole response is no answer to anything; and half a request keeps the leg from carrying another.
    const clean =
      this.#requestDone && this.#keepAlive && !this.#upgrade && !this.#eof && this.#parser.next().kind === 'more';
    this.#carried = null;
    if (clean) {
      this.idleUntilMs = this.#now() + this.#idleMs;
      this.#onIdle(this);
    } else this.destroy();
    carried.ended(trailers);
  }

  #lose(loss: Loss): void {
    const carried = this.#carried;
    this.#carried = null;
    this.#head = null;
    this.destroy();
    carried?.lost(loss);
  }

  #bad(event: Malformed): Loss {
    if (event.code === 'NoResponse' || event.code === 'Truncated') return this.#dropped();
    return {
      failure: malformed(`${this.place.where} sent a response that is not well-formed: ${event.message}`),
      retry: 'never',
    };
  }

  /** The connection ended early. */
  #dropped(): Loss {
    const retry = this.#head !== null ? 'always' : this.#heard || !this.#reused ? 'never' : 'idempotent';
    return {failure: this.#whyDropped(), retry};
  }

  #whyDropped(): Failure {
    const {where, wantsCertificate} = this.place;
    if (this.#headPassed) return unreachable(`${where} closed the connection in the middle of the response`);
    if (wantsCertificate && !this.#heard) return wantsClientCertificate(where);
    return unreachable(`${where} closed the connection before it answered`);
  }
}

/** RFC 9112 §9.3 and the Keep-Alive field's `timeout`: a second less than the server says, so that it is not it that closes. */
function idleMsOf(headers: HeaderLines): number {
  const keepAlive = get(headers, 'keep-alive');
  if (keepAlive === null) return LIMITS.idleLegMs;
  const at = keepAlive.toLowerCase().indexOf('timeout=');
  const seconds = at < 0 ? NaN : Number.parseInt(keepAlive.slice(at + 8), 10);
  return Number.isNaN(seconds) ? LIMITS.idleLegMs : Math.max(0, Math.min(LIMITS.idleLegMs, (seconds - 1) * 1000));
}
