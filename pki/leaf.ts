/** Leaves: one certificate per intercepted name, minted when first asked for and kept while it is fresh. */
import {constants, createHash, generateKeyPairSync} from 'node:crypto';
import {isIP} from 'node:net';
import {createSecureContext} from 'node:tls';
import type {SecureContext} from 'node:tls';
import ipaddr from 'ipaddr.js';
import {LRUCache} from 'lru-cache';
import {CIPHERS} from '../runtime/ciphers.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {Ca, Issuer} from './ca.ts';
import {certificatePem, distinguishedName, extensions, keyIdentifier, signCertificate} from './certificate.ts';
import type {LeafSource} from './contract.ts';

const HOUR_MS = 3_600_000;
/** Lives in memory only, so its life costs nothing; short, for nothing could revoke it (there is no CRL and no OCSP). */
const LEAF_LIFE_MS = 7 * 24 * HOUR_MS;
/** Minted anew when less than this is left: a client never meets one that expires while it looks at it. */
const LEAF_RENEW_MS = 24 * HOUR_MS;
/** Of a leaf whose issuer ends soon, this part of what it has: else it would be minted for each connection. */
const LEAF_RENEW_PART = 1 / 3;
/** For clients whose clock is behind ours; as for the CA (ca.ts), within the issuer's own dates. */
const LEAF_BACKDATE_MS = 24 * HOUR_MS;
/** A context takes about 37 KB (OpenSSL's SSL_CTX), so this is about 40 MB in each worker; an evicted name costs one mint. */
const DEFAULT_MAX_LEAVES = 1024;
/** A quarter of the cache: who invents names pushes out his own. */
const MAX_LEAVES_PER_OWNER = DEFAULT_MAX_LEAVES / 4;
/** RFC 5280 appendix A: ub-common-name. A longer name stands in the SAN alone. */
const MAX_COMMON_NAME = 64;
/** RFC 1035 §2.3.4. */
const MAX_NAME = 253;
const MAX_LABEL = 63;

export interface LeafOptions {
  readonly ca: Ca;
  /** Contexts kept; the least recently used one goes first. */
  readonly maxLeaves?: number;
  /** Of these, first asked for by one owner; the oldest goes first. */
  readonly maxLeavesPerOwner?: number;
  /** Unix time in ms. */
  readonly now?: () => number;
}

/** Counters since start, for the metrics. */
export interface LeafStats {
  readonly minted: number;
  /** Total time spent minting, signature and context included. */
  readonly mintMs: number;
  readonly cached: number;
}

/** A leaf as text, for who finishes handshakes elsewhere (Envoy, by SDS). */
export interface Leaf {
  /** The leaf, then the chain up to the root's issue, as TLS sends it. */
  readonly chainPem: string;
  readonly keyPem: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** From then on a new one is to be minted. */
  readonly renewAtMs: number;
}

export interface LeafMint {
  /** A new leaf for a lower-case host name or an IP literal. Throws BadLeafName for anything else, and CaExpired. */
  mint(name: string): Leaf;
}

export interface MintingLeafSource extends LeafSource {
  /** Whether context(name) would answer without minting, so that mints can be limited per workload. */
  has(name: string): boolean;
  stats(): LeafStats;
}

/**
 * Mints leaves, about 0.2 ms each, and keeps none.
 *
 * All of one mint share one key pair: whoever could read it from memory could read the issuer's key beside it, which is
 * worth more, and who is handed one leaf with its key (SDS) may ask for every other; and so a leaf costs one signature
 * and no key.
 */
export function createLeafMint({ca, now = Date.now}: Pick<LeafOptions, 'ca' | 'now'>): LeafMint {
  const {publicKey, privateKey} = generateKeyPairSync('ec', {namedCurve: 'P-256'});
  const spki = publicKey.export({type: 'spki', format: 'der'});
  // SEC1 is what OpenSSL decodes fastest.
  const keyPem = privateKey.export({type: 'sec1', format: 'pem'}) as string;
  const subjectKeyIdentifier = extensions.subjectKeyIdentifier(keyIdentifier(spki));
  return {
    mint(name) {
      const nowMs = now();
      const issuer = ca.issuer();
      const subject = name.length <= MAX_COMMON_NAME ? distinguishedName({commonName: name}) : distinguishedName({});
      const notBeforeMs = Math.max(nowMs - LEAF_BACKDATE_MS, issuer.notBeforeMs);
      const notAfterMs = Math.min(nowMs + LEAF_LIFE_MS, issuer.notAfterMs);
      const certificate = signCertificate(
        {
          issuer: issuer.certificate.subject,
          subject,
          notBeforeMs,
          notAfterMs,
          publicKey: spki,
          extensions: [
            extensions.notCa,
            extensions.signsHandshakes,
            extensions.serverAuth,
            extensions.subjectAltName(alternativeName(name), name.length > MAX_COMMON_NAME),
            subjectKeyIdentifier,
            extensions.authorityKeyIdentifier(issuer.certificate.keyIdentifier),
          ],
        },
        issuer.key,
      );
      const chainPem = certificatePem(certificate) + issuer.chainPem;
      const renewMs = Math.min(LEAF_RENEW_MS, (notAfterMs - nowMs) * LEAF_RENEW_PART);
      return {chainPem, keyPem, notBeforeMs, notAfterMs, renewAtMs: notAfterMs - renewMs};
    },
  };
}

/**
 * Makes the source of leaves. `context` is synchronous, so there is one mint per name however many ask (about 0.3 ms); it
 * throws BadLeafName for what is no lower-case host name or IP literal, wildcards included, and CaExpired.
 */
export function createLeafSource({
  ca,
  maxLeaves = DEFAULT_MAX_LEAVES,
  maxLeavesPerOwner = MAX_LEAVES_PER_OWNER,
  now = Date.now,
}: LeafOptions): MintingLeafSource {
  const leaves = createLeafMint({ca, now});
  const cache = new LRUCache<string, Kept>({max: maxLeaves, dispose: ({owner}, name) => disown(owner, name)});
  /** The names that each owner has in the cache, oldest first. */
  const owned = new Map<string, Set<string>>();
  let minted = 0;
  let mintMs = 0;

  function own(owner: string, name: string): void {
    let names = owned.get(owner);
    if (names === undefined) owned.set(owner, (names = new Set()));
    names.add(name);
    if (names.size <= maxLeavesPerOwner) return;
    for (const oldest of names) {
      cache.delete(oldest);
      break;
    }
  }

  function disown(owner: string, name: string): void {
    const names = owned.get(owner);
    if (names?.delete(name) === true && names.size === 0) owned.delete(owner);
  }

  return {
    context(name, owner = '') {
      const kept = cache.get(name);
      const issuer = ca.issuer();
      if (kept && isFresh(kept, issuer, now())) return kept.context;
      const started = performance.now();
      const {chainPem, keyPem, notBeforeMs, renewAtMs} = leaves.mint(name);
      const leaf = {context: leafContext(name, chainPem, keyPem), issuer, notBeforeMs, renewAtMs, owner};
      cache.set(name, leaf);
      own(owner, name);
      minted++;
      mintMs += performance.now() - started;
      return leaf.context;
    },
    has(name) {
      const kept = cache.peek(name);
      if (kept === undefined) return false;
      try {
        return isFresh(kept, ca.issuer(), now());
      } catch {
        // No issuer, and so no context: it is said where one is asked for.
        return false;
      }
    },
    stats: () => ({minted, mintMs, cached: cache.size}),
  };
}

/** What the cache holds of a name. */
interface Kept {
  readonly context: SecureContext;
  readonly issuer: Issuer;
  readonly notBeforeMs: number;
  readonly renewAtMs: number;
  readonly owner: string;
}

/** Not so where the CA is another by now, nor where the clock was set back to before it is valid. */
const isFresh = ({issuer, notBeforeMs, renewAtMs}: Kept, current: Issuer, nowMs: number): boolean =>
  issuer === current && nowMs >= notBeforeMs && nowMs < renewAtMs;

function leafContext(name: string, cert: string, key: string): SecureContext {
  return createSecureContext({
    cert,
    key,
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    // Renegotiation would let a client change what was agreed after the decision (and Node accepts it by default).
    // Compression: CRIME (CVE-2012-4929).
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION,
    // A session is resumed under its own name only: tickets are sealed with keys of this context, and this is compared as
    // well. OpenSSL takes no early data unless told to, and it is not told to.
    sessionIdContext: createHash('sha256').update(name).digest('hex').slice(0, 32),
  });
}

/** The one SAN. Throws BadLeafName where `name` is neither a lower-case host name nor an IP literal. */
function alternativeName(name: string): {dns: string} | {ip: Buffer} {
  if (isIP(name) !== 0 && !name.includes('%')) return {ip: Buffer.from(ipaddr.parse(name).toByteArray())};
  if (!isHostName(name))
    throw new SallyportError(
      'BadLeafName',
      `no certificate is made for ${JSON.stringify(name.slice(0, MAX_NAME))}`,
      'A lower-case host name without wildcard and trailing dot, or an IP literal, is needed.',
    );
  return {dns: name};
}

/** Labels of a-z, 0-9, '-' and '_' (which real hosts have), not all digits in the last one (that would be an address to some). */
function isHostName(name: string): boolean {
  if (name.length === 0 || name.length > MAX_NAME) return false;
  let label = 0;
  let digits = 0;
  for (let i = 0; i < name.length; i++) {
    const c = name.charCodeAt(i);
    if (c === 0x2e) {
      if (label === 0) return false;
      label = digits = 0;
      continue;
    }
    const digit = c >= 0x30 && c <= 0x39;
    if (!digit && !(c >= 0x61 && c <= 0x7a) && c !== 0x2d && c !== 0x5f) return false;
    if (++label > MAX_LABEL) return false;
    if (digit) digits++;
  }
  return label > 0 && digits < label;
}
