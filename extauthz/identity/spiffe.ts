/** The identity of a workload in a mesh: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`. */
import {X509Certificate} from 'node:crypto';
import {identitiesOf} from '../sds/index.ts';

export interface Account {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Reads it; null: another kind of identity, or none. Nothing but two plain segments is taken for one. */
export function readSpiffe(id: string): Account | null {
  if (!id.startsWith('spiffe://')) return null;
  const parts = id.split('/');
  if (parts.length !== 7 || parts[2] === '' || parts[3] !== 'ns' || parts[5] !== 'sa') return null;
  const namespace = parts[4]!;
  const serviceAccount = parts[6]!;
  return isName(namespace) && isName(serviceAccount) ? {namespace, serviceAccount} : null;
}

/** Of such an identity; null: it is none. */
export const trustDomainOf = (id: string): string | null => (readSpiffe(id) === null ? null : id.split('/')[2]!);

/** `certificate`: our own, PEM, the leaf first; null: it names no workload of a mesh. */
export function ownTrustDomain(certificate: string): string | null {
  const {subjectAltName} = new X509Certificate(certificate);
  for (const id of identitiesOf({subjectaltname: subjectAltName})) {
    const domain = trustDomainOf(id);
    if (domain !== null) return domain;
  }
  return null;
}

/** RFC 1123 subdomain, as Kubernetes names both; escapes, queries and the like are no part of one. */
function isName(text: string): boolean {
  if (text === '' || text.length > 253) return false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (!((c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x2e)) return false;
  }
  return true;
}
