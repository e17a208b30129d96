/** An OutgoingRequest in the bytes of HTTP/1.1 (RFC 9112 §3, §6): our own framing, never the client's. */
import type {HeaderLines} from '../../policy/index.ts';
import {lastChunk, requestHead, UnencodableError} from '../http1/index.ts';
import type {OutgoingRequest} from './contract.ts';
import {joinCookies} from './headers.ts';

/** To the parent itself: the absolute-form's authority, and the credentials that only the parent sees. */
export interface AbsoluteForm {
  readonly authority: string;
  readonly authorization: string | null;
}

const NO_BODY = {kind: 'none'} as const;

/** The head, Latin-1; null where it cannot be written as one without saying something else. */
export function encodeHead(request: OutgoingRequest, absolute: AbsoluteForm | null): string | null {
  let headers = request.client === 'h2' ? joinCookies(request.headers) : request.headers;
  let {target} = request;
  if (absolute !== null) {
    // RFC 9112 §3.2.4: `OPTIONS *` through a proxy is an absolute-form with an empty path.
    target = `http://${absolute.authority}${target === '*' ? '' : target}`;
    if (absolute.authorization !== null) headers = [...headers, 'Proxy-Authorization', absolute.authorization];
  }
  const {body, upgrade} = request;
  try {
    return requestHead({
      method: request.method,
      target,
      authority: absolute === null ? request.authority : absolute.authority,
      headers,
      framing: upgrade !== null && body.kind === 'length' && body.bytes === 0 ? NO_BODY : body,
      upgrade,
      wantsTrailers: request.wantsTrailers,
      expectContinue: request.expectContinue,
    });
  } catch (error) {
    if (error instanceof UnencodableError) return null;
    throw error;
  }
}

/** The last chunk with the trailers; trailers that may not be some are left out (RFC 9110 §6.5.1 lets them go). */
export function encodeChunkEnd(trailers: HeaderLines): string {
  try {
    return lastChunk(trailers);
  } catch (error) {
    if (error instanceof UnencodableError) return lastChunk();
    throw error;
  }
}
