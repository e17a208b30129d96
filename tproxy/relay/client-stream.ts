/** The boundary between an exchange and the protocol its client speaks: HTTP/1 and HTTP/2 look the same from here. */
import type {Duplex} from 'node:stream';
import type {HeaderLines, HttpRequest} from '../../policy/index.ts';
import type {OutgoingRequest} from '../upstream/contract.ts';
import type {WireAnswer} from './answers.ts';

/** A request's head, as the exchange needs it. */
export interface RequestMessage {
  readonly http: HttpRequest;
  /** End-to-end headers: no Host, no hop-by-hop, no framing, no Expect. */
  readonly headers: HeaderLines;
  readonly body: OutgoingRequest['body'];
  readonly wantsTrailers: boolean;
  readonly expectContinue: boolean;
  readonly grpc: boolean;
}

/** What an exchange tells its client. */
export interface ClientStream {
  readonly protocol: 'h1' | 'h2';
  /** The request is on its way: its body may be handed over (requestBody, requestEnd). */
  readBody(): void;
  /** The upstream takes more of the body again. */
  resumeBody(): void;
  informational(status: number, headers: HeaderLines): void;
  head(status: number, headers: HeaderLines, bytes: number | null | 'none'): void;
  /** False: the client is slow; responseDrained() follows. */
  body(chunk: Buffer): boolean;
  end(trailers: HeaderLines): void;
  /** A whole answer of ours, before any head. What is left of the request's body is dropped. */
  answer(answer: WireAnswer): void;
  /** The response cannot be finished: end it so that nobody takes it for whole. */
  cut(): void;
  /** Bytes moved through the stream of upgrade(), either way. */
  tunnelMoved(): void;
  /** The upgrade was accepted: the raw stream to the client, and what was read of it already. */
  upgrade(headers: HeaderLines): {readonly stream: Duplex; readonly first: Buffer};
}

/** What the client's protocol tells the exchange. */
export interface RequestSink {
  /** False: wait for resumeBody(). */
  requestBody(chunk: Buffer): boolean;
  requestEnd(trailers: HeaderLines): void;
  responseDrained(): void;
  /** The client went away. */
  clientGone(): void;
  /** What came of the body breaks its framing. */
  clientMalformed(message: string): void;
  /** Nothing moved for too long. */
  timedOut(): void;
}
