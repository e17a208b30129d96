/** A tunnel through a parent proxy: CONNECT and its answer (RFC 9110 §9.3.6). */
import type {Socket} from 'node:net';
import {createResponseParser, encodeRequestHead} from '../http1/index.ts';
import type {Failure} from './contract.ts';
import {printable} from '../../runtime/printable.ts';
import {malformed, proxyRefused, unreachable} from './failures.ts';
import {LIMITS} from './limits.ts';

export interface TunnelRequest {
  /** host:port as it is sent. */
  readonly authority: string;
  readonly authorization: string | null;
  /** The UpstreamProxy's name, for messages. */
  readonly parent: string;
}

export type TunnelResult =
  /** The socket is the tunnel now, paused; its first bytes are in it. */
  | {readonly kind: 'open'}
  /** The parent went away or kept quiet: another endpoint may do. */
  | {readonly kind: 'lost'; readonly why: string}
  /** The parent could not connect. */
  | {readonly kind: 'unreachable'; readonly failure: Failure}
  /** The parent will not, or makes no sense. */
  | {readonly kind: 'refused'; readonly failure: Failure};

/** What an answer other than 2xx says. 5xx: the parent tried and could not (squid 503, tinyproxy 500, others 502 and 504). */
function refusal(status: number, reasonPhrase: string, request: TunnelRequest): TunnelResult {
  const said = `the UpstreamProxy ${request.parent} answered ${status} ${printable(reasonPhrase, 60)} to CONNECT ${request.authority}`;
  if (status >= 500) return {kind: 'unreachable', failure: unreachable(said)};
  if (status === 407) {
    const fix =
      request.authorization === null ? 'give it credentials by `auth`' : 'its credentials are wrong: see `auth`';
    return {kind: 'refused', failure: proxyRefused(`${said}; ${fix}`)};
  }
  return {kind: 'refused', failure: proxyRefused(`${said}; its own rules must allow this`)};
}

/** Asks for a tunnel on a fresh connection to the parent. `done` is called once; the socket is destroyed unless it is open. */
export function openTunnel(
  socket: Socket,
  request: TunnelRequest,
  done: (result: TunnelResult) => void,
): {cancel(): void} {
  const parser = createResponseParser({maxHeadBytes: LIMITS.maxTunnelHeadBytes});
  let over = false;

  const finish = (result: TunnelResult): void => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    socket.removeListener('data', onData);
    socket.removeListener('end', onEnd);
    socket.removeListener('error', onError);
    socket.removeListener('close', onEnd);
    if (result.kind === 'open') socket.pause();
    else {
      socket.on('error', () => {});
      socket.destroy();
    }
    done(result);
  };
  const lost = (why: string): void => finish({kind: 'lost', why});
  const onData = (chunk: Buffer): void => {
    parser.feed(chunk);
    for (;;) {
      const event = parser.next();
      switch (event.kind) {
        case 'more':
          return;
        case 'informational':
          continue;
        case 'head': {
          const {status, reasonPhrase} = event.head;
          if (status < 200 || status > 299) {
            finish(refusal(status, reasonPhrase, request));
            return;
          }
          const first = parser.rest();
          finish({kind: 'open'});
          // A server that speaks first, in the same packet as the parent's 200.
          if (first.length > 0) socket.unshift(first);
          return;
        }
        case 'bad':
          finish({
            kind: 'refused',
            failure: malformed(
              `the UpstreamProxy ${request.parent} answered CONNECT with no proper response: ${event.message}`,
            ),
          });
          return;
        case 'body':
        case 'end':
          return;
      }
    }
  };
  const onEnd = (): void => lost('it closed the connection instead of answering CONNECT');
  const onError = (): void => lost('the connection broke before it answered CONNECT');
  const timer = setTimeout(() => lost('it did not answer CONNECT in time'), LIMITS.tunnelTimeoutMs);

  socket.on('data', onData);
  socket.on('end', onEnd);
  socket.on('close', onEnd);
  socket.on('error', onError);
  parser.expect({method: 'CONNECT', upgrade: false});
  // RFC 9112 §3.2.3: authority-form, and Host the same.
  const {authority, authorization} = request;
  const headers = authorization === null ? [] : ['Proxy-Authorization', authorization];
  socket.write(encodeRequestHead({method: 'CONNECT', target: authority, authority, headers, framing: {kind: 'none'}}));
  return {
    cancel: () => {
      over = true;
      clearTimeout(timer);
      socket.on('error', () => {});
      socket.destroy();
    },
  };
}
