/**
 * An HTTP/1 client: requests one after another (pipelined ones wait their turn), bodies streamed both ways with
 * backpressure, and every refusal readable.
 */
import type {Duplex} from 'node:stream';
import type {Decision, HeaderLines, TlsHello} from '../../policy/index.ts';
import {createRequestParser, targetParts, type RequestHead, type RequestParser} from '../http1/index.ts';
import {denialAnswer, refusal, type WireAnswer} from './answers.ts';
import type {ClientStream} from './client-stream.ts';
import {ignore, type ClientConnection, type Stage} from './connection.ts';
import {limited} from './core.ts';
import {HttpExchange} from './exchange.ts';
import {explicitTarget, openConnectTunnel} from './explicit-target.ts';
import {journalRefusal} from './journal-refusal.ts';
import {readH1Head} from './h1-head.ts';
import {H1Responses} from './h1-responses.ts';

export interface H1Options {
  /** The ClientHello where this is inside TLS that we ended; null in the clear. */
  readonly tls: TlsHello | null;
  /** The connection is refused already; each request is told so. */
  readonly forced: Decision | null;
  /** Read already. */
  readonly first: Buffer;
  /** The explicit proxy port: CONNECT and absolute-form. Default false. */
  readonly explicit?: boolean;
}

/** Serve HTTP/1 on `socket`, which is the connection's own or the TLS over it. */
export function serveH1(connection: ClientConnection, socket: Duplex, options: H1Options): void {
  new H1Client(connection, socket, options).start();
}

/**
 * `head`: waiting for a request; `deciding`: its body waits for the decision; `body`: it is handed over; `blocked`: the
 * upstream is slow; `discard`: nobody wants it; `waiting`: it was read, the answer is under way; `linger`: answered, the
 * connection ends; `full`: the client does not take its answers; `tunnel`: no longer ours.
 */
type State = 'head' | 'deciding' | 'body' | 'blocked' | 'discard' | 'waiting' | 'linger' | 'full' | 'tunnel';

class H1Client implements ClientStream, Stage {
  readonly protocol = 'h1';
  readonly #connection: ClientConnection;
  readonly #socket: Duplex;
  readonly #options: H1Options;
  readonly #parser: RequestParser;
  readonly #responses: H1Responses;
  #state: State = 'head';
  #exchange: HttpExchange | null = null;
  #head: RequestHead | null = null;
  #responseDone = false;
  #bodyRead = 0;
  #lingered = 0;
  #partialHead = false;
  /** Read of the head that is not whole yet, and what of it was counted. */
  #headBytes = 0;
  #counted = 0;
  #clientSlow = false;
  #clientEnded = false;
  #pumping = false;

  constructor(connection: ClientConnection, socket: Duplex, options: H1Options) {
    this.#connection = connection;
    this.#socket = socket;
    this.#options = options;
    this.#parser = createRequestParser();
    this.#responses = new H1Responses(connection, socket);
    connection.stage = this;
  }

  start(): void {
    const socket = this.#socket;
    this.#connection.expireIn(this.#connection.core.limits.headTimeoutMs);
    socket.on('error', ignore);
    socket.on('close', this.#onClose);
    socket.on('drain', this.#onDrain);
    socket.on('end', this.#onEnd);
    socket.on('data', this.#onData);
    if (this.#options.first.length > 0) this.#onData(this.#options.first);
    if (!this.#paused()) socket.resume();
  }

  // What comes from the client.

  readonly #onData = (chunk: Buffer): void => {
    this.#connection.spoke = true;
    if (this.#state === 'linger') {
      this.#lingered += chunk.length;
      if (this.#lingered > this.#connection.core.limits.lingerBytes) this.#connection.destroy();
      return;
    }
    const waited = this.#state === 'waiting';
    this.#parser.feed(chunk);
    if (this.#state === 'head') {
      this.#headBytes += chunk.length;
      if (!this.#partialHead) {
        this.#partialHead = true;
        this.#connection.expireIn(this.#connection.core.limits.headTimeoutMs);
      }
    } else this.#alive();
    this.#pump();
    if (this.#headBytes > this.#connection.core.limits.smallHeadBytes) this.#countHead();
    if (this.#state === 'tunnel') return;
    // A body that must wait, or a further pipelined request: no more than this chunk is held. Else reading goes on while
    // the answer is under way, for only so a client's end is seen.
    if (this.#paused() && (this.#state !== 'waiting' || waited)) this.#socket.pause();
  };

  /** A head that is not whole yet, and no small one: what all of the workload hold of these is bounded. */
  #countHead(): void {
    const {core, usage} = this.#connection;
    const bytes = this.#partialHead ? this.#headBytes : 0;
    const more = bytes - this.#counted;
    const {headerBytesPerWorkload, headerBytes} = core.limits;
    if (more <= 0 || core.live.usages.take(usage, 'headerBytes', more, headerBytesPerWorkload, headerBytes)) {
      if (more < 0) core.live.usages.give(usage, 'headerBytes', -more);
      this.#counted = bytes;
      return;
    }
    limited(core, 'headerBytes');
    this.#refuse('This workload has too many large heads under way at once.', 'LimitExceeded');
  }

  #paused(): boolean {
    return (
      this.#state === 'deciding' ||
      this.#state === 'blocked' ||
      this.#state === 'waiting' ||
      this.#state === 'full' ||
      this.#state === 'tunnel'
    );
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#step());
    } finally {
      this.#pumping = false;
    }
  }

  /** One event of the parser, where this state takes any. */
  #step(): boolean {
    if (this.#state !== 'head' && this.#state !== 'body' && this.#state !== 'discard') return false;
    const event = this.#parser.next();
    switch (event.kind) {
      case 'more':
        return false;
      case 'head':
        this.#partialHead = false;
        if (this.#counted > 0) this.#countHead();
        this.#headBytes = 0;
        this.#begin(event.head);
        return true;
      case 'body':
        this.#bodyRead += event.chunk.length;
        if (this.#state === 'body' && !this.#exchange!.requestBody(event.chunk)) this.#state = 'blocked';
        return true;
      case 'end':
        this.#head = null;
        if (this.#state === 'body') {
          this.#state = 'waiting';
          this.#exchange!.requestEnd(event.trailers);
        } else this.#next();
        return true;
      case 'bad':
        this.#malformed(event.message);
        return false;
    }
  }

  #begin(head: RequestHead): void {
    this.#head = head;
    this.#responseDone = false;
    this.#bodyRead = 0;
    this.#clientSlow = false;
    this.#responses.begin(head);
    this.#responses.closing =
      !head.keepAlive || this.#connection.core.draining || this.#clientEnded || this.#options.forced !== null;
    this.#state = 'deciding';
    const connection = this.#connection;
    const parts = targetParts(head);
    let {destination} = connection;
    if (this.#options.explicit === true) {
      const target = explicitTarget(connection, head, parts);
      switch (target.kind) {
        case 'request':
          ({destination} = target);
          break;
        case 'connect':
          this.#connect(target.authority);
          return;
        case 'refused':
          this.#refuse(target.message);
          return;
      }
    }
    if (head.expectUnknown) {
      this.#refuse('Expect asks for something other than 100-continue.');
      return;
    }
    this.#alive();
    this.#exchange = new HttpExchange(connection, this, readH1Head(head, parts), this.#options.tls, destination);
    this.#exchange.start(this.#options.forced);
  }

  #connect(authority: {readonly host: string; readonly port: number}): void {
    // CONNECT has no body: its end is there already.
    this.#parser.next();
    this.#head = null;
    const refused = openConnectTunnel(this.#connection, authority, this.#options.forced, () => {
      this.#leave();
      this.#socket.write('HTTP/1.1 200 Connection established\r\n\r\n', 'latin1');
      return this.#parser.rest();
    });
    if (refused === null) return;
    this.#responses.closing = true;
    this.answer(denialAnswer(refused, false));
  }

  /** A refusal before there is a request that could be decided. */
  #refuse(message: string, reason: 'MalformedRequest' | 'LimitExceeded' = 'MalformedRequest'): void {
    const connection = this.#connection;
    const request = connection.ask(
      this.#options.tls === null ? {kind: 'opaque'} : {kind: 'tls', tls: this.#options.tls},
    );
    const decision = this.#options.forced ?? refusal(request.id, reason, message, true);
    const answer = denialAnswer(decision, false);
    journalRefusal(connection, decision, request, 'h1', answer.status);
    this.#responses.closing = true;
    this.answer(answer);
  }

  /** RFC 9112 §2.2: framing is in doubt, so nothing after it is read as a request. */
  #malformed(message: string): void {
    this.#responses.closing = true;
    if (this.#exchange === null) {
      this.#responseDone = false;
      this.#refuse(message);
    } else this.#exchange.clientMalformed(message);
  }

  readonly #onEnd = (): void => {
    this.#clientEnded = true;
    this.#responses.closing = true;
    if (this.#state === 'linger') this.#connection.socket.destroySoon();
    else if (this.#state === 'head' && this.#parser.atBoundary()) this.#finishWriting();
    else if (this.#state === 'head') this.#malformed('The connection ended inside a request.');
    // Half-closed after a whole request: the answer is still wanted. Inside a body: nobody will finish it.
    else if (this.#state === 'body' || this.#state === 'blocked' || this.#state === 'discard')
      this.#connection.destroy();
    else this.#connection.expireIn(this.#connection.core.limits.halfClosedMs);
  };

  readonly #onClose = (): void => {
    this.#partialHead = false;
    this.#countHead();
    const exchange = this.#exchange;
    this.#exchange = null;
    if (this.#state !== 'tunnel') exchange?.clientGone();
  };

  readonly #onDrain = (): void => {
    this.#alive();
    if (this.#state === 'full') this.#next();
    if (this.#clientSlow) {
      this.#clientSlow = false;
      this.#exchange?.responseDrained();
    }
  };

  // ClientStream: what the exchange says.

  readBody(): void {
    if (this.#state !== 'deciding') return;
    this.#state = 'body';
    this.#go();
  }

  resumeBody(): void {
    if (this.#state !== 'blocked') return;
    this.#state = 'body';
    this.#alive();
    this.#go();
  }

  #go(): void {
    this.#pump();
    if (!this.#paused() || this.#state === 'waiting') this.#socket.resume();
  }

  informational(status: number, headers: HeaderLines): void {
    this.#responses.informational(status, headers);
  }

  head(status: number, headers: HeaderLines, bytes: number | null | 'none'): void {
    this.#alive();
    this.#responses.head(status, headers, bytes);
  }

  body(chunk: Buffer): boolean {
    this.#alive();
    if (this.#responses.body(chunk)) return true;
    this.#clientSlow = true;
    return false;
  }

  end(trailers: HeaderLines): void {
    this.#responses.end(trailers);
    this.#responded();
  }

  answer(answer: WireAnswer): void {
    const unasked = this.#head !== null && this.#responses.waitsForContinue;
    // A body that was never asked for may come or not: where the next request begins would be a guess (RFC 9110 §10.1.1).
    if (unasked || this.#unread() > this.#connection.core.limits.discardBytes) this.#responses.closing = true;
    this.#responses.answer(answer);
    this.#responded();
  }

  cut(): void {
    this.#exchange = null;
    this.#responses.flush();
    this.#connection.destroy();
  }

  upgrade(headers: HeaderLines): {readonly stream: Duplex; readonly first: Buffer} {
    this.#leave();
    this.#responses.switching(headers);
    this.#exchange = null;
    return {stream: this.#socket, first: this.#parser.rest()};
  }

  tunnelMoved(): void {
    this.#connection.expireIn(this.#connection.core.limits.tunnelIdleTimeoutMs);
  }

  /** The connection is no longer HTTP. */
  #leave(): void {
    this.#responses.flush();
    this.#state = 'tunnel';
    const socket = this.#socket;
    socket.pause();
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('drain', this.#onDrain);
    socket.off('close', this.#onClose);
  }

  #unread(): number {
    const framing = this.#head?.framing;
    if (framing === undefined || framing.kind === 'none') return 0;
    return framing.kind === 'length' ? framing.bytes - this.#bodyRead : Infinity;
  }

  /** The answer is whole. */
  #responded(): void {
    this.#responseDone = true;
    this.#exchange = null;
    if (this.#head === null) {
      this.#next();
      return;
    }
    if (this.#responses.closing || this.#unread() > this.#connection.core.limits.discardBytes) {
      this.#linger();
      return;
    }
    this.#state = 'discard';
    this.#pump();
    if (this.#state === 'discard') this.#socket.resume();
  }

  /** Request and answer are done: the next one, or the end. */
  #next(): void {
    if (!this.#responseDone) {
      this.#state = 'waiting';
      return;
    }
    if (this.#responses.closing || this.#connection.core.draining) {
      this.#linger();
      return;
    }
    // A client that pipelines and does not read: nothing further is looked at before it took the answers that are here.
    if (this.#responses.full) {
      this.#state = 'full';
      this.#alive();
      this.#socket.pause();
      return;
    }
    this.#state = 'head';
    this.#connection.expireIn(this.#connection.core.limits.keepAliveTimeoutMs);
    this.#pump();
    if (!this.#paused()) this.#socket.resume();
  }

  /**
   * RFC 9112 §9.6: our side ends, and what still comes is read and dropped for a while, lest a reset destroys the answer
   * on its way to a client that is still sending.
   */
  #linger(): void {
    this.#state = 'linger';
    this.#finishWriting();
    if (this.#clientEnded) return;
    // A slow client still takes what is written; the while begins when all of that has gone out.
    this.#alive();
    this.#socket.once('finish', () => this.#connection.expireIn(this.#connection.core.limits.lingerMs));
    this.#socket.resume();
  }

  #finishWriting(): void {
    this.#responses.flush();
    if (!this.#socket.writableEnded) this.#socket.end();
  }

  // Stage.

  expire(): void {
    if (this.#exchange !== null) this.#exchange.timedOut();
    else if (this.#state === 'head' && this.#partialHead) this.#malformed('Only part of a request came in time.');
    // No reset: the kernel has still some of the answer to deliver.
    else if (this.#state === 'linger' && this.#socket.writableFinished) this.#connection.socket.destroy();
    else this.#connection.destroy();
  }

  drain(): void {
    this.#responses.closing = true;
    if (this.#state === 'head' && this.#parser.atBoundary()) this.#linger();
  }

  #alive(): void {
    this.#connection.expireIn(this.#connection.core.limits.idleTimeoutMs);
  }
}
