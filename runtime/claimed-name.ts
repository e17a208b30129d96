import type {EgressRequest} from '../policy/index.ts';

/** The name that the client claimed, or the literal it dialled; lower-case is the policy's business, here it is shown. */
export function claimedName(request: EgressRequest): string {
  const {traffic} = request;
  const inside =
    traffic.kind === 'http' || traffic.kind === 'https' ? (traffic.http.authority ?? traffic.http.host) : null;
  const sni = traffic.kind === 'tls' || traffic.kind === 'https' ? traffic.tls.sni : null;
  return inside ?? sni ?? request.connectAuthority?.host ?? request.destination.host ?? request.destination.ip ?? '';
}
