/** What a CONNECT through the parent names, so that Envoy need not make it up of what the client wrote. */
import {parseAuthority, type Decision, type EgressRequest} from '../../policy/index.ts';
import {claimedName} from '../../runtime/claimed-name.ts';

/** HOST:PORT: the name as it was judged, or the address where that was (resolve Local, tcp); null: it leaves through no parent. */
export function parentTarget({verdict, via, dial}: Decision, request: EgressRequest): string | null {
  if (verdict !== 'allow' || via.kind !== 'proxy') return null;
  const {port} = request.destination;
  const host = via.sends === 'name' ? parseAuthority(claimedName(request))?.host : dial[0];
  return host === undefined ? null : hostPort(host, port);
}

export const hostPort = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
