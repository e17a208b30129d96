/** What a client of the explicit port asks for, and the tunnel of a CONNECT. */
import {isDecision, type Decision, type Destination} from '../../policy/index.ts';
import type {RequestHead, TargetParts} from '../http1/index.ts';
import type {ClientConnection} from './connection.ts';
import {FirstBytes} from './first-bytes.ts';
import {journalRefusal} from './journal-refusal.ts';
import {judge} from './judge.ts';
import {splitAuthority} from './naming.ts';

export type ExplicitTarget =
  | {readonly kind: 'request'; readonly destination: Destination}
  | {readonly kind: 'connect'; readonly authority: {readonly host: string; readonly port: number}}
  | {readonly kind: 'refused'; readonly message: string};

const HOW =
  'This is the explicit proxy port of Sallyport. Set HTTP_PROXY and HTTPS_PROXY to it: a client then sends CONNECT for https and an absolute http:// target otherwise.';

/** A proxy is asked with CONNECT or an absolute http target; anything else is told how. */
export function explicitTarget(connection: ClientConnection, head: RequestHead, parts: TargetParts): ExplicitTarget {
  switch (head.form) {
    case 'authority': {
      const authority = splitAuthority(head.target);
      if (authority === null || authority.port === null) return {kind: 'refused', message: 'CONNECT needs host:port.'};
      return {kind: 'connect', authority: {host: authority.host, port: authority.port}};
    }
    case 'absolute': {
      if (parts.scheme !== 'http') {
        return {
          kind: 'refused',
          message:
            'An https target cannot be asked of a proxy in the clear: use CONNECT host:443, and send the request inside TLS.',
        };
      }
      const authority = splitAuthority(parts.authority ?? '');
      if (authority === null) return {kind: 'refused', message: 'The target of this request names no host.'};
      return {kind: 'request', destination: {ip: null, port: authority.port ?? 80, host: authority.host}};
    }
    case 'origin':
    case 'asterisk':
      return {kind: 'refused', message: HOW};
  }
}

/**
 * The tunnel is opened at once and nothing is dialled: the policy's answer comes inside, where a client shows it.
 * Returned: the refusal of a CONNECT whose inside could never be answered. `accept` writes the 200 and hands over the
 * bytes read behind the request.
 */
export function openConnectTunnel(
  connection: ClientConnection,
  authority: {readonly host: string; readonly port: number},
  forced: Decision | null,
  accept: () => Buffer,
): Decision | null {
  connection.destination = {ip: null, port: authority.port, host: authority.host};
  connection.connectAuthority = authority;
  let refused: Decision | null = forced;
  const {core} = connection;
  const request = connection.ask({kind: 'unread'});
  // A stranger trusts no leaf of ours and is told in the clear; so is everybody while no policy is loaded.
  if (refused === null && (connection.workload === 'unknown' || core.services.policies() === 'not-loaded')) {
    judge(core, connection, request, (answer) => {
      if (isDecision(answer) && answer.verdict === 'deny') refused = answer;
    });
  }
  if (refused === null) {
    new FirstBytes(connection, null).start(accept());
    return null;
  }
  journalRefusal(connection, refused, request, 'h1', refused.response?.status ?? 403);
  return refused;
}
