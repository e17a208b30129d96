/** The answers on one HTTP/1 connection, put into bytes: framing for the client's version, and whether the connection goes on. */
import type {Duplex} from 'node:stream';
import type {HeaderLines} from '../../policy/index.ts';
import {
  CHUNK_FOOTER,
  chunkHeader,
  lastChunk,
  responseHead,
  type Framing,
  type RequestHead,
  type ResponseParts,
} from '../http1/index.ts';
import type {WireAnswer} from './answers.ts';
import type {ClientConnection} from './connection.ts';
import {responseFraming} from './h1-head.ts';
import {H1Writer} from './h1-writer.ts';
import {writeShare} from './usage.ts';

const NO_BODY: Framing = {kind: 'none'};

export class H1Responses {
  /** The connection ends with the answer under way, which says so. */
  closing = false;
  /** The client waits for a 100 before it sends its body. */
  waitsForContinue = false;
  readonly #connection: ClientConnection;
  readonly #writer: H1Writer;
  #version: '1.0' | '1.1' = '1.1';
  #method = '';
  #chunked = false;
  #endsWithConnection = false;

  constructor(connection: ClientConnection, socket: Duplex) {
    this.#connection = connection;
    this.#writer = new H1Writer(socket);
  }

  /** What is answered next. */
  begin(head: RequestHead): void {
    this.#version = head.version;
    this.#method = head.method;
    this.waitsForContinue = head.expectContinue;
  }

  /** A 1xx; HTTP/1.0 knows none. */
  informational(status: number, headers: HeaderLines): void {
    if (this.#version === '1.0') return;
    if (status === 100) this.waitsForContinue = false;
    this.#head({status, headers, framing: NO_BODY});
    this.#writer.flush();
  }

  head(status: number, headers: HeaderLines, bytes: number | null | 'none'): void {
    const framing = responseFraming(bytes, this.#version);
    this.#chunked = framing.kind === 'chunked';
    this.#endsWithConnection = framing.kind === 'close';
    this.#head({status, headers, framing, connection: this.#connectionLine()});
  }

  /** False: the client is slow; its socket's 'drain' follows. */
  body(chunk: Buffer): boolean {
    const writer = this.#writer;
    if (this.#chunked) {
      writer.push(chunkHeader(chunk.length));
      writer.push(chunk);
      writer.push(CHUNK_FOOTER);
    } else writer.push(chunk);
    const {core, usage} = this.#connection;
    if (writer.backlog < writeShare(core.limits, usage.connections)) return true;
    writer.flush();
    return !writer.needsDrain;
  }

  /** Answers wait for a client that does not take them; its socket's 'drain' follows. */
  get full(): boolean {
    const writer = this.#writer;
    if (writer.backlog < this.#connection.core.limits.minWriteBufferBytes) return false;
    writer.flush();
    return writer.needsDrain;
  }

  end(trailers: HeaderLines): void {
    if (this.#chunked) this.#encode(() => lastChunk(trailers));
    this.#chunked = false;
    if (this.#endsWithConnection) this.closing = true;
  }

  /** A whole answer of ours. */
  answer({status, headers, body}: WireAnswer): void {
    const mayHaveBody = status !== 204 && status !== 304;
    const bytes = body.length;
    const bodiless = this.#method === 'HEAD' || !mayHaveBody;
    this.#head({
      status,
      headers: this.#method === 'HEAD' && mayHaveBody ? [...headers, 'content-length', String(bytes)] : headers,
      framing: bodiless ? NO_BODY : {kind: 'length', bytes},
      connection: this.#connectionLine(),
    });
    if (!bodiless && bytes > 0) this.#writer.push(body);
  }

  /** 101: what follows is no HTTP. */
  switching(headers: HeaderLines): void {
    this.#head({status: 101, reasonPhrase: 'Switching Protocols', headers, framing: NO_BODY, upgrade: 'websocket'});
    this.#writer.flush();
  }

  flush(): void {
    this.#writer.flush();
  }

  #connectionLine(): 'close' | 'keep-alive' | null {
    if (this.closing || this.#connection.core.draining) {
      this.closing = true;
      return 'close';
    }
    return this.#version === '1.0' ? 'keep-alive' : null;
  }

  #head(parts: ResponseParts): void {
    this.#encode(() => responseHead(parts));
  }

  /** What the encoder refuses to write (it came from a server, a rule or a filter) must not be half written. */
  #encode(encode: () => string): void {
    let piece: string;
    try {
      piece = encode();
    } catch (error) {
      const {services} = this.#connection.core;
      services.journal.notice('warn', 'relay.unencodable', 'an answer was cut: it cannot be written as HTTP/1', {
        error: String(error),
      });
      this.#connection.destroy();
      return;
    }
    this.#writer.push(piece);
  }
}
