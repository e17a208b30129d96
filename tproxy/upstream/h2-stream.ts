/** One request on an HTTP/2 session. */
import {constants, type ClientHttp2Stream, type IncomingHttpHeaders, type IncomingHttpStatusHeader} from 'node:http2';
import type {HeaderLines} from '../../policy/index.ts';
import {isForbiddenTrailer} from '../http1/trailers.ts';
import type {Carried, Carrier, LegPlace, Loss} from './carry.ts';
import type {Failure} from './contract.ts';
import {malformed, unreachable} from './failures.ts';
import {endToEndOfH2} from './headers.ts';
import {LIMITS} from './limits.ts';
import {wantsClientCertificate} from './tls-failures.ts';

interface StreamContext {
  readonly carried: Carried;
  readonly place: LegPlace;
  /** The session had carried a request before. */
  readonly reused: boolean;
  readonly head: boolean;
  /** The request may end with trailers. */
  readonly trailers: boolean;
  /** Whether a GOAWAY said that the stream was not processed. */
  readonly unprocessed: (id: number) => boolean;
  readonly done: () => void;
}

type StatusHeaders = IncomingHttpHeaders & IncomingHttpStatusHeader;

export class H2Stream implements Carrier {
  readonly #stream: ClientHttp2Stream;
  readonly #context: StreamContext;
  /** Null once it is over: nothing is said any more. */
  #carried: Carried | null;
  #informational = 0;
  #answered = false;
  /** The length that was told; null: none. */
  #length: number | null = null;
  #received = 0;
  /** Of the body, before the head. */
  #early: Buffer[] = [];
  #trailers: HeaderLines = [];
  #outTrailers: HeaderLines = [];
  #active = true;
  #activeMs = 0;

  constructor(stream: ClientHttp2Stream, context: StreamContext) {
    this.#stream = stream;
    this.#context = context;
    this.#carried = context.carried;
    stream.on('headers', (_headers: StatusHeaders, _flags: number, lines?: string[]) =>
      this.#onInformational(_headers, lines ?? []),
    );
    stream.on('response', (headers: StatusHeaders, flags: number, lines?: string[]) =>
      this.#onResponse(headers, flags, lines ?? []),
    );
    stream.on('trailers', (_headers: IncomingHttpHeaders, _flags: number, lines?: string[]) => {
      this.#trailers = endToEndOfH2(lines ?? [], false);
    });
    stream.on('data', (chunk: Buffer) => {
      this.#active = true;
      this.#received += chunk.length;
      // Where it reads in the middle of other work, node:http2 hands over DATA at once, and the head before it a tick later.
      if (this.#answered) this.#pass(chunk);
      else this.#early.push(chunk);
    });
    stream.on('drain', () => {
      this.#active = true;
      this.#carried?.drain();
    });
    stream.on('end', () => this.#onEnd());
    stream.on('error', () => this.#lose());
    stream.on('close', () => this.#lose());
    if (context.trailers) {
      stream.on('wantTrailers', () => this.#sendTrailers());
    }
  }

  /** As over HTTP/1: trailers that may not be some are left out (RFC 9110 §6.5.1); of those, node:http2 throws for a few. */
  #sendTrailers(): void {
    const lines = this.#outTrailers;
    const out: Record<string, string | string[]> = {};
    let allowed = true;
    for (let i = 0; i < lines.length; i += 2) {
      const name = lines[i]!.toLowerCase();
      if (isForbiddenTrailer(name)) allowed = false;
      const before = out[name];
      const value = lines[i + 1]!;
      out[name] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value];
    }
    try {
      this.#stream.sendTrailers(allowed ? out : {});
    } catch {
      // A field that may come only once, twice. Thrown before anything was sent.
      this.#stream.sendTrailers({});
    }
  }

  /** Of the answer, read and not yet taken by the client; 0 where it keeps up. */
  get waitingBytes(): number {
    return this.#stream.isPaused() ? this.#stream.readableLength : 0;
  }

  /** The client is slow, and too much waits for it already. */
  cutSlow(): void {
    const message = `the clients of this workload do not take what ${this.#context.place.where} answers`;
    this.#fail({failure: {reason: 'LimitExceeded', message}, retry: 'never'});
  }

  write(chunk: Buffer): boolean {
    if (this.#carried === null || this.#stream.destroyed || this.#stream.writableEnded) return true;
    return this.#stream.write(chunk);
  }

  end(trailers: HeaderLines): void {
    if (this.#carried === null || this.#stream.destroyed) return;
    this.#outTrailers = this.#context.trailers ? trailers : [];
    this.#stream.end();
  }

  abort(): void {
    if (this.#carried === null) return;
    this.#over();
    this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#stream.resume();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** Whether something moved since the last call; a stream that is silent for too long is given up here. */
  takeActivity(nowMs: number): boolean {
    const active = this.#active;
    this.#active = false;
    if (active || this.#activeMs === 0) this.#activeMs = nowMs;
    else if (nowMs - this.#activeMs >= LIMITS.silenceMs && !this.#stream.isPaused())
      this.#fail({failure: unreachable(`${this.#context.place.where} was silent for too long`), retry: 'never'});
    return active;
  }

  #onInformational(headers: StatusHeaders, lines: string[]): void {
    this.#active = true;
    const status = headers[':status'] ?? 0;
    if (++this.#informational > LIMITS.maxInformational || status === 101) {
      // RFC 9113 §8.6: there is no 101 in HTTP/2.
      const what = status === 101 ? 'a 101 in HTTP/2' : `more than ${LIMITS.maxInformational} interim responses`;
      this.#fail({failure: malformed(`${this.#context.place.where} sent ${what}`), retry: 'never'});
      return;
    }
    this.#carried?.informational(status, endToEndOfH2(lines, false));
  }

  #onResponse(headers: StatusHeaders, flags: number, lines: string[]): void {
    this.#active = true;
    if (this.#carried === null) return;
    const status = headers[':status'] ?? 0;
    if (status < 200 || status > 999) {
      this.#fail({failure: malformed(`${this.#context.place.where} sent the status ${status}`), retry: 'never'});
      return;
    }
    this.#answered = true;
    const bodyless = this.#context.head || status === 204 || status === 304;
    const length = headers['content-length'];
    let bytes: number | null | 'none' = null;
    // nghttp2 has seen to it that there is one length, that it is a number, and that the DATA frames come to it (RFC 9113 §8.1.1).
    if (bodyless) bytes = 'none';
    else if (length !== undefined) this.#length = bytes = Number(length);
    else if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) bytes = 0;
    this.#carried.head(status, endToEndOfH2(lines, bodyless && status !== 204), bytes);
    for (const chunk of this.#early) this.#pass(chunk);
    this.#early = [];
  }

  #pass(chunk: Buffer): void {
    if (this.#carried !== null && !this.#carried.body(chunk)) this.#stream.pause();
  }

  #onEnd(): void {
    const carried = this.#carried;
    if (carried === null) return;
    // RFC 9113 §8.1: a reset with NO_ERROR says that the response is complete; node:http2's own server sends it instead of
    // END_STREAM when several streams finish together. Any other reset, or less than the length, is a response that is cut.
    if (
      !this.#answered ||
      this.#stream.rstCode !== constants.NGHTTP2_NO_ERROR ||
      (this.#length !== null && this.#received !== this.#length)
    ) {
      this.#lose();
      return;
    }
    this.#over();
    carried.ended(this.#trailers);
    // RFC 9113 §8.1: the answer is whole; what is left of the request is of no use to the server.
    if (!this.#stream.writableEnded) this.#stream.close(constants.NGHTTP2_NO_ERROR);
  }

  #lose(): void {
    if (this.#carried === null) return;
    const {place, reused, unprocessed} = this.#context;
    const code = this.#stream.rstCode ?? 0;
    const retry =
      this.#answered || this.#informational > 0
        ? 'never'
        : code === constants.NGHTTP2_REFUSED_STREAM || unprocessed(this.#stream.id ?? Infinity)
          ? 'always'
          : reused
            ? 'idempotent'
            : 'never';
    this.#fail({failure: this.#why(code, place), retry});
  }

  #why(code: number, place: LegPlace): Failure {
    if (!this.#answered && place.wantsCertificate) return wantsClientCertificate(place.where);
    const cut = this.#answered ? 'in the middle of the response' : 'before it answered';
    switch (code) {
      case constants.NGHTTP2_PROTOCOL_ERROR:
      case constants.NGHTTP2_FRAME_SIZE_ERROR:
      case constants.NGHTTP2_COMPRESSION_ERROR:
      case constants.NGHTTP2_FLOW_CONTROL_ERROR:
        return malformed(`the HTTP/2 of ${place.where} broke the protocol ${cut} (code ${code})`);
      case constants.NGHTTP2_REFUSED_STREAM:
        return unreachable(`${place.where} refused the HTTP/2 stream`);
      case constants.NGHTTP2_HTTP_1_1_REQUIRED:
        return unreachable(`${place.where} wants HTTP/1.1 for this request`);
      default:
        return unreachable(`${place.where} ended the HTTP/2 stream ${cut} (code ${code})`);
    }
  }

  #fail(loss: Loss): void {
    const carried = this.#carried;
    if (carried === null) return;
    this.#over();
    this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#stream.resume();
    carried.lost(loss);
  }

  #over(): void {
    this.#carried = null;
    this.#context.done();
  }
}
