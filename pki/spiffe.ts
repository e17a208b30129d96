/**
 * SPIFFE ids of ServiceAccounts: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/NAME`, as Istio and SPIRE's Kubernetes registrar write
 * them. One spelling for each: whatever could be spelt twice is refused, so that ids may be compared as texts. Pure.
 */

export interface SpiffeId {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** The SPIFFE standard (SPIFFE-ID §2.3): an id has 2048 bytes at most. */
const MAX_ID_CHARACTERS = 2048;
/** SPIFFE-ID §2.1: a trust domain has 255 at most. */
const MAX_TRUST_DOMAIN_CHARACTERS = 255;
/** RFC 1123 §2.1, as Kubernetes names namespaces. */
const MAX_NAMESPACE_CHARACTERS = 63;
/** A DNS subdomain, as Kubernetes names ServiceAccounts. */
const MAX_NAME_CHARACTERS = 253;

const LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const ID = /^spiffe:\/\/([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/;

/**
 * Whether it names a trust domain that we take: a DNS name in lower case. SPIFFE allows underscores too; name constraints
 * (RFC 5280 §4.2.1.10) hold hosts alone, so ours are hosts.
 */
export function isTrustDomain(text: string): boolean {
  return text.length <= MAX_TRUST_DOMAIN_CHARACTERS && SUBDOMAIN.test(text);
}

const isNamespace = (text: string): boolean => text.length <= MAX_NAMESPACE_CHARACTERS && LABEL.test(text);
const isServiceAccount = (text: string): boolean => text.length <= MAX_NAME_CHARACTERS && SUBDOMAIN.test(text);

/** null for everything that is not exactly one id of a ServiceAccount: escapes, upper case, ports, queries, dots between slashes. */
export function parseSpiffeId(text: string): SpiffeId | null {
  if (text.length > MAX_ID_CHARACTERS) return null;
  const [, trustDomain, namespace, serviceAccount] = ID.exec(text) ?? [];
  if (trustDomain === undefined || namespace === undefined || serviceAccount === undefined) return null;
  return isTrustDomain(trustDomain) && isNamespace(namespace) && isServiceAccount(serviceAccount)
    ? {trustDomain, namespace, serviceAccount}
    : null;
}

/** Throws TypeError for parts that make no id: the names come from Kubernetes or were checked before. */
export function formatSpiffeId({trustDomain, namespace, serviceAccount}: SpiffeId): string {
  if (!isTrustDomain(trustDomain) || !isNamespace(namespace) || !isServiceAccount(serviceAccount))
    throw new TypeError(`no SPIFFE id is made of ${JSON.stringify([trustDomain, namespace, serviceAccount])}`);
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}
