/** A request head as the codec gives it, as an exchange takes it. */
import {endToEnd, get, wantsTrailers, type Framing, type RequestHead, type TargetParts} from '../http1/index.ts';
import {isGrpc} from './answers.ts';
import type {RequestMessage} from './client-stream.ts';

export function readH1Head(head: RequestHead, parts: TargetParts): RequestMessage {
  return {
    http: {
      version: head.version,
      method: head.method,
      scheme: parts.scheme,
      authority: parts.authority,
      host: head.host,
      path: parts.path,
      query: parts.query,
      upgrade: head.upgrade,
      headers: head.headers,
    },
    headers: endToEnd(head.headers),
    // A request never ends with its connection; the codec's type is that of responses too.
    body: head.framing.kind === 'close' ? {kind: 'none'} : head.framing,
    wantsTrailers: wantsTrailers(head.headers),
    expectContinue: head.expectContinue,
    grpc: isGrpc(get(head.headers, 'content-type') ?? undefined),
  };
}

/** How a response's body is delimited to a client of that version: HTTP/1.0 knows no chunks. */
export function responseFraming(bytes: number | null | 'none', version: '1.0' | '1.1'): Framing {
  if (bytes === 'none') return {kind: 'none'};
  if (bytes !== null) return {kind: 'length', bytes};
  return version === '1.1' ? {kind: 'chunked'} : {kind: 'close'};
}
