/** Who may be handed private keys. */
import {SallyportError} from '../../runtime/errors.ts';
import type {SecretPeers} from './contract.ts';

export interface SecretTransport {
  /** As `--sds` was given. */
  readonly address: string;
  /** Whether clients have to show a certificate that our client CA issued. */
  readonly mutualTls: boolean;
  /** As `--sds-peer` was given. */
  readonly peers: readonly string[];
}

/**
 * Whether secrets may be served there, and to whom. Throws SallyportError `SdsInsecure` where private keys would go out in
 * the clear, or to whoever holds any certificate.
 */
export function secretPeers({address, mutualTls, peers}: SecretTransport): SecretPeers {
  if (address.startsWith('unix:')) {
    if (peers.length > 0)
      throw new SallyportError(
        'SdsInsecure',
        `--sds ${address} is a unix socket, and nobody shows a certificate there, so --sds-peer would check nothing`,
        'Leave --sds-peer out: who may open the socket is decided by the permissions of its folder.',
      );
    return 'unix-socket';
  }
  if (!mutualTls)
    throw new SallyportError(
      'SdsInsecure',
      `--sds ${address} would send private keys in the clear`,
      'Write --sds unix:PATH, or give --tls-cert, --tls-key, --client-ca and --sds-peer ID.',
    );
  if (peers.length === 0)
    throw new SallyportError(
      'SdsInsecure',
      `--sds ${address} would give private keys to whoever has a certificate of --client-ca`,
      'Name those who may ask: --sds-peer spiffe://cluster.local/ns/NAMESPACE/sa/ACCOUNT, or a DNS name.',
    );
  return new Set(peers);
}

/** URI and DNS names of a verified peer's certificate. */
export function identitiesOf(certificate: {readonly subjectaltname?: string | undefined} | undefined): string[] {
  const names = certificate?.subjectaltname;
  if (names === undefined) return [];
  const found: string[] = [];
  for (const entry of splitNames(names)) {
    const colon = entry.indexOf(':');
    const type = entry.slice(0, colon);
    const text = entry.slice(colon + 1);
    if (type !== 'URI' && type !== 'DNS') continue;
    const identity = text.startsWith('"') ? unquoted(text) : text;
    if (identity !== null) found.push(identity);
  }
  return found;
}

/** `TYPE:VALUE, TYPE:"VALUE"`: what could be taken for a separator stands in quotes (CVE-2021-44532). */
function splitNames(text: string): string[] {
  const entries: string[] = [];
  let quoted = false;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (quoted && c === 0x5c) i++;
    else if (c === 0x22) quoted = !quoted;
    else if (!quoted && c === 0x2c && text.charCodeAt(i + 1) === 0x20) {
      entries.push(text.slice(start, i));
      start = i + 2;
    }
  }
  entries.push(text.slice(start));
  return entries;
}

function unquoted(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : null;
  } catch {
    return null;
  }
}
