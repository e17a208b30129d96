/**
 * One stream of an HTTP/2 client. node:http2 hands a stream over before a wrong content-length shows (as an error later),
 * so lengths are upheld here: small bodies are held until they are whole, of large ones the last piece is.
 */
import type {Duplex} from 'node:stream';
import {constants, type OutgoingHttpHeaders, type ServerHttp2Stream} from 'node:http2';
import type {HeaderLines} from '../../policy/index.ts';
import {isForbiddenTrailer} from '../http1/trailers.ts';
import {denialAnswer, refusal, type WireAnswer} from './answers.ts';
import type {H2Client} from './client-h2.ts';
import type {ClientStream, RequestMessage} from './client-stream.ts';
import {ignore} from './connection.ts';
import {limited} from './core.ts';
import {HttpExchange} from './exchange.ts';
import {readH2Head} from './h2-head.ts';
import {journalRefusal} from './journal-refusal.ts';
import {writeShare} from './usage.ts';
import {websocketKey} from './websocket.ts';

const NOTHING = Buffer.alloc(0);

export class H2Stream implements ClientStream {
  readonly protocol = 'h2';
  readonly #client: H2Client;
  readonly #stream: ServerHttp2Stream;
  /** No body follows. */
  readonly #ended: boolean;
  /** When something moved last, by the relay's clock; and how long nothing may move. */
  movedAt: number;
  idleMs: number;
  /** Cut because its server's answer was: that is not the client's doing. */
  wasCut = false;
  #exchange: HttpExchange | null = null;
  /** The declared length; null: none. */
  #length: number | null = null;
  #received = 0;
  /** A small body that is held, or the last piece of a large one. */
  #held: Buffer[] = [];
  #trailers: string[] = [];
  #responseTrailers: HeaderLines = [];
  #bodyEnded = false;
  #reading = false;
  #head = false;
  /** The whole body is waited for; nothing was asked yet. */
  #collecting = false;
  /** Extended CONNECT: what follows the head is no body. */
  #upgrades = false;

  constructor(client: H2Client, stream: ServerHttp2Stream, ended: boolean) {
    this.#client = client;
    this.#stream = stream;
    this.#ended = ended;
    this.#bodyEnded = ended;
    const {core} = client.connection;
    this.movedAt = core.now();
    this.idleMs = core.limits.idleTimeoutMs;
  }

  #moved(): void {
    this.movedAt = this.#client.connection.core.now();
  }

  start(raw: HeaderLines): void {
    const stream = this.#stream;
    const {connection, options} = this.#client;
    stream.on('error', ignore);
    const limit = this.#take(raw);
    stream.on('close', () => {
      const exchange = this.#exchange;
      this.#exchange = null;
      exchange?.clientGone();
    });
    if (limit !== null) {
      this.#refuse(limit, 'LimitExceeded');
      return;
    }
    const head = readH2Head(raw, this.#ended);
    if (head.kind === 'bad') {
      this.#refuse(head.message);
      return;
    }
    let {message} = head;
    this.#upgrades = message.http.upgrade.length > 0;
    if (this.#upgrades) message = {...message, headers: [...message.headers, 'sec-websocket-key', websocketKey()]};
    this.#head = message.http.method === 'HEAD';
    if (message.body.kind === 'length') this.#length = message.body.bytes;
    const exchange = new HttpExchange(connection, this, message, options.tls, connection.destination);
    stream.on('drain', () => {
      this.#moved();
      this.#exchange?.responseDrained();
    });
    stream.on('trailers', (_trailers: unknown, _flags: number, lines: unknown) => {
      this.#trailers = (Array.isArray(lines) ? (lines as string[]) : []).map(String);
      const forbidden = this.#trailers.some((text, i) => i % 2 === 0 && isForbiddenTrailer(text));
      if (forbidden)
        this.#malformed('A trailer that frames, routes, authenticates or changes the meaning of a message.');
    });
    if (this.#holdsWhole(message)) {
      this.#collect(exchange);
      return;
    }
    this.#exchange = exchange;
    exchange.start(options.forced);
  }

  /** What this stream holds until it closes; or why it may not. A refused one is held too, for as long as its answer takes. */
  #take(raw: HeaderLines): string | null {
    const {core, usage} = this.#client.connection;
    const {limits, live} = core;
    const bytes = headBytes(raw);
    const counted = bytes > limits.smallHeadBytes ? bytes : 0;
    const fits = live.usages.take(usage, 'streams', 1, limits.streamsPerWorkload, limits.streams);
    if (!fits) live.usages.hold(usage, 'streams', 1);
    const small =
      counted === 0 ||
      live.usages.take(usage, 'headerBytes', counted, limits.headerBytesPerWorkload, limits.headerBytes);
    if (!small) live.usages.hold(usage, 'headerBytes', counted);
    this.#stream.once('close', () => {
      live.usages.give(usage, 'streams', 1);
      live.usages.give(usage, 'headerBytes', counted);
    });
    if (!fits) {
      limited(core, 'streams');
      return 'This workload has too many HTTP/2 streams open at once.';
    }
    if (!small) {
      limited(core, 'headerBytes');
      return 'This workload has too many large heads under way at once.';
    }
    return null;
  }

  #holdsWhole(message: RequestMessage): boolean {
    const {core, usage} = this.#client.connection;
    const {limits, live} = core;
    // A client that waits for 100 would wait for ever; what it sends then is under the rule of the last piece.
    return (
      !this.#ended &&
      this.#length !== null &&
      this.#length <= limits.heldBodyBytes &&
      !message.expectContinue &&
      live.usages.take(usage, 'heldBytes', this.#length, limits.heldBytesPerWorkload, limits.heldBytes)
    );
  }

  /** Nothing is asked and nothing sent before the whole body, which was counted, is there and as long as it said. */
  #collect(exchange: HttpExchange): void {
    const stream = this.#stream;
    const {usage, core} = this.#client.connection;
    const bytes = this.#length!;
    stream.once('close', () => core.live.usages.give(usage, 'heldBytes', bytes));
    this.#collecting = true;
    stream.on('data', (chunk: Buffer) => {
      this.#moved();
      this.#received += chunk.length;
      if (this.#received > this.#length!) stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
      else this.#held.push(chunk);
    });
    stream.once('end', () => {
      if (stream.aborted || stream.destroyed || !this.#collecting) return;
      this.#collecting = false;
      if (this.#received !== this.#length) {
        stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
        return;
      }
      this.#bodyEnded = true;
      this.#exchange = exchange;
      exchange.start(this.#client.options.forced);
    });
  }

  /** Found wrong behind its head: what was sent of it is aborted, and the client is told where nothing was answered yet. */
  #malformed(message: string): void {
    const exchange = this.#exchange;
    if (exchange !== null) exchange.clientMalformed(message);
    else if (this.#collecting) {
      this.#collecting = false;
      this.#refuse(message);
    }
  }

  #refuse(message: string, reason: 'MalformedRequest' | 'LimitExceeded' = 'MalformedRequest'): void {
    const {connection, options} = this.#client;
    const request = connection.ask(options.tls === null ? {kind: 'opaque'} : {kind: 'tls', tls: options.tls});
    const decision = options.forced ?? refusal(request.id, reason, message, true);
    const answer = denialAnswer(decision, false);
    journalRefusal(connection, decision, request, 'h2', answer.status);
    this.answer(answer);
  }

  timedOut(): void {
    if (this.#exchange !== null) this.#exchange.timedOut();
    else this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  // ClientStream.

  readBody(): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#reading) return;
    this.#reading = true;
    if (this.#bodyEnded) {
      this.#passHeld(exchange);
      exchange.requestEnd(this.#trailers);
      return;
    }
    if (this.#upgrades) {
      exchange.requestEnd([]);
      return;
    }
    const stream = this.#stream;
    stream.on('data', (chunk: Buffer) => {
      this.#moved();
      this.#received += chunk.length;
      const sink = this.#exchange;
      // Answered: what still comes is dropped.
      if (sink === null) return;
      if (this.#length !== null && this.#received >= this.#length) {
        // Never more than was promised, and the last piece only when the stream ended at its length.
        if (this.#received > this.#length) {
          this.#exchange = null;
          sink.clientGone();
          stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
        } else this.#held.push(chunk);
      } else if (!sink.requestBody(chunk)) stream.pause();
    });
    stream.once('end', () => {
      const sink = this.#exchange;
      if (sink === null || stream.aborted || stream.destroyed) return;
      if (this.#length !== null && this.#received !== this.#length) {
        this.#exchange = null;
        sink.clientGone();
        stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
        return;
      }
      this.#bodyEnded = true;
      this.#passHeld(sink);
      sink.requestEnd(this.#trailers);
    });
  }

  #passHeld(sink: HttpExchange): void {
    const held = this.#held;
    this.#held = [];
    for (const chunk of held) sink.requestBody(chunk);
  }

  resumeBody(): void {
    this.#moved();
    if (this.#reading && !this.#bodyEnded) this.#stream.resume();
  }

  informational(status: number, headers: HeaderLines): void {
    if (!this.#open() || this.#stream.headersSent) return;
    this.#try(() => this.#stream.additionalHeaders({...headersOf(headers), ':status': status}));
  }

  head(status: number, headers: HeaderLines, bytes: number | null | 'none'): void {
    if (!this.#open()) return;
    this.#moved();
    const out = headersOf(headers);
    out[':status'] = status;
    if (typeof bytes === 'number') out['content-length'] = String(bytes);
    const {endsWithHead} = {endsWithHead: bytes === 'none'};
    this.#try(() => this.#stream.respond(out, endsWithHead ? {endStream: true} : {waitForTrailers: true}));
    if (!endsWithHead)
      this.#stream.once('wantTrailers', () =>
        this.#try(() => this.#stream.sendTrailers(headersOf(this.#responseTrailers))),
      );
  }

  body(chunk: Buffer): boolean {
    if (!this.#open()) return true;
    this.#moved();
    const stream = this.#stream;
    const {core, usage} = this.#client.connection;
    // The stream's own mark counts what waits for the client's flow-control window.
    if (stream.writableLength + chunk.length <= writeShare(core.limits, usage.streams)) return stream.write(chunk);
    // Less than the mark: the write itself says when it is gone.
    stream.write(chunk, () => this.#exchange?.responseDrained());
    return false;
  }

  end(trailers: HeaderLines): void {
    this.#exchange = null;
    this.#responseTrailers = trailers;
    if (!this.#stream.writableEnded) this.#stream.end();
    this.#settle();
  }

  answer(answer: WireAnswer): void {
    this.#exchange = null;
    if (!this.#open() || this.#stream.headersSent) return;
    const out = headersOf(answer.headers);
    out[':status'] = answer.status;
    const grpcOnly = answer.body.length === 0 && out['grpc-status'] !== undefined;
    if (!grpcOnly) out['content-length'] = String(answer.body.length);
    // Trailers-only is one HEADERS frame that ends the stream (gRPC over HTTP/2, "Responses").
    const bodiless = grpcOnly || this.#head || answer.body.length === 0;
    this.#try(() => this.#stream.respond(out, {endStream: bodiless}));
    if (!bodiless) this.#stream.end(answer.body);
    this.#settle();
    if (this.#client.options.forced !== null) this.#client.drain();
  }

  /**
   * RFC 9113 §8.1: an answer before the end of the request. What still comes is dropped, and a client that goes on and on is
   * told to stop with NO_ERROR; at once would be too early: node:http2 resets a stream before its END_STREAM is out, and
   * clients (Java's) take such an answer for a broken one.
   */
  #settle(): void {
    const stream = this.#stream;
    if (this.#bodyEnded || stream.destroyed) return;
    let dropped = 0;
    stream.on('data', (chunk: Buffer) => {
      dropped += chunk.length;
      if (dropped > this.#client.connection.core.limits.discardBytes && !stream.closed)
        stream.close(constants.NGHTTP2_NO_ERROR);
    });
    stream.once('end', () => {
      this.#bodyEnded = true;
    });
    stream.resume();
  }

  cut(): void {
    this.#exchange = null;
    this.wasCut = true;
    if (!this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  upgrade(headers: HeaderLines): {readonly stream: Duplex; readonly first: Buffer} {
    this.#exchange = null;
    const out = headersOf(headers);
    // RFC 8441 §5: 200, and no accept key.
    delete out['sec-websocket-accept'];
    out[':status'] = 200;
    this.#try(() => this.#stream.respond(out));
    this.idleMs = this.#client.connection.core.limits.tunnelIdleTimeoutMs;
    return {stream: this.#stream, first: NOTHING};
  }

  tunnelMoved(): void {
    this.#moved();
  }

  #open(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed;
  }

  /** node:http2 throws for headers that it will not send, and where the client closed the stream meanwhile. */
  #try(send: () => void): void {
    try {
      send();
    } catch (error) {
      this.#client.connection.core.services.journal.notice(
        'debug',
        'relay.unencodable',
        'an answer was cut: it cannot be sent as HTTP/2',
        {error: String(error)},
      );
      this.cut();
    }
  }
}

/** RFC 9113 §6.5.2: a field's size is its name, its value and 32 bytes of overhead. */
function headBytes(raw: HeaderLines): number {
  let bytes = raw.length * 16;
  for (const text of raw) bytes += text.length;
  return bytes;
}

/** Lines as node:http2 takes them: lower-case names, several lines of one name as a list. */
function headersOf(lines: HeaderLines): OutgoingHttpHeaders {
  const out = Object.create(null) as OutgoingHttpHeaders;
  for (let i = 0; i < lines.length; i += 2) {
    const name = lines[i]!.toLowerCase();
    const value = lines[i + 1]!;
    const before = out[name];
    if (before === undefined) out[name] = value;
    else if (Array.isArray(before)) before.push(value);
    else out[name] = [String(before), value];
  }
  return out;
}
