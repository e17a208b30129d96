/**
 * The boundary between relay/ (which talks to the client and asks the policy) and upstream/ (which dials).
 * A Route is made of an allowed Decision only; nothing in upstream/ is reached before one exists (invariant 1).
 */
import type {Duplex} from 'node:stream';
import type {Address, Endpoint, HeaderLines, Reason, Via} from '../../policy/index.ts';

/** Where an allowed request or connection goes. */
export interface Route {
  readonly scheme: 'https' | 'http' | 'tls' | 'tcp';
  /** The claimed name, lower-case without trailing dot, or the literal: SNI, certificate name, CONNECT authority. */
  readonly name: string;
  readonly port: number;
  /** The checked addresses, in order. Only these are dialled; empty only where the parent resolves. */
  readonly dial: readonly Address[];
  readonly via: Via;
  /** Whose connection this is; pools and TLS sessions are never shared between two of these. */
  readonly workload: string;
  /** The client's own address, for destinations that must see the pod and not the node (DESIGN §4, no deputy). */
  readonly source: Endpoint;
}

/** A request ready to be sent: end-to-end headers after mutations, no Host, no hop-by-hop, no framing headers. */
export interface OutgoingRequest {
  readonly method: string;
  /** Origin-form (path and query as they came), or `*`. */
  readonly target: string;
  /** Host/:authority as the client wrote it. */
  readonly authority: string;
  readonly headers: HeaderLines;
  readonly body:
    {readonly kind: 'none'} | {readonly kind: 'length'; readonly bytes: number} | {readonly kind: 'chunked'};
  /** What the client speaks: an h1 client is carried over http/1.1 where the server has it, an h2 client over h2. */
  readonly client: 'h1' | 'h2';
  /** Ask for a 101; only ever with client h1, or by translation of an extended CONNECT. */
  readonly upgrade: 'websocket' | null;
  /** `TE: trailers` was there (gRPC). */
  readonly wantsTrailers: boolean;
  readonly expectContinue: boolean;
}

/** Why an allowed request got no (whole) answer. `afterHead`: the response head was passed on, so the client's stream is cut. */
export interface Failure {
  /** `UpstreamUntrusted` also where the server wants a client certificate: what Audit remembers and passes through. */
  readonly reason: Reason;
  /** What, where and what to do; for the log and the 502 body. No addresses that a rule did not name, no secrets. */
  readonly message: string;
}

export interface ResponseHandlers {
  informational(status: number, headers: HeaderLines): void;
  /** End-to-end headers only; Content-Length among them only in answers to HEAD and in 304, where it is no framing. `bytes`: the length where it is known, else null; 'none': no body follows (HEAD, 204, 304). */
  head(status: number, headers: HeaderLines, bytes: number | null | 'none'): void;
  /** Returns false: the client is slow, stop reading until resume(). */
  body(chunk: Buffer): boolean;
  end(trailers: HeaderLines): void;
  /** 101 came: the raw stream, paused; its first bytes are not lost. */
  upgraded(headers: HeaderLines, stream: Duplex): void;
  /** The request body may go on (after a write() that said false). */
  drain(): void;
  /** At most once, and nothing after it. */
  failed(failure: Failure): void;
  /**
   * When an address was connected or an idle leg taken: `address:port` (of the parent's endpoint, where there is one) and
   * the parent's name or null. For the flow line. Again where the request is sent again. The one handler that may be
   * called before request() returns.
   */
  dialled(address: string, proxy: string | null): void;
}

export interface Exchange {
  /** Returns false: wait for drain(). */
  write(chunk: Buffer): boolean;
  end(trailers: HeaderLines): void;
  /** The client went away, or the policy closed it. Nothing is called after this. */
  abort(): void;
  /** The client drained: go on calling body(). */
  resume(): void;
}

export interface Upstream {
  request(route: Route, request: OutgoingRequest, handlers: ResponseHandlers): Exchange;
  /** A raw stream to the destination (through the parent's CONNECT where there is one), for tls and tcp. */
  connect(
    route: Route,
    done: (
      result:
        | {readonly stream: Duplex; readonly address: string; readonly proxy: string | null}
        | {readonly failure: Failure},
    ) => void,
  ): {cancel(): void};
  /** Close idle legs to names or addresses that the policies no longer allow, and all at shutdown. */
  closeIdle(): void;
}
