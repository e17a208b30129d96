/**
 * The CA of --ca-dir: a root that clients trust and an intermediate that signs leaves, so that what sits in the memory of
 * the workers can be replaced without touching any trust store.
 *
 * Files, made at first use or brought:
 * 1. `ca.crt` + `ca.key`: the operator's CA (its certificate first, then its issuers up to the root). We make the intermediate.
 * 2. `root.key`, `root.crt`: our own root. We make the intermediate.
 * 3. `root.crt` + `intermediate.crt` + `intermediate.key`, no root.key: the operator's chain; it signs leaves directly.
 * 4. none of them: 2 is made.
 * 5. `node-ca.pem` alone: what a cluster's controller signed for this node, with its key, in one file so that both change
 *    at once. Read by openNodeCa; nothing is made beside it.
 */
import {SallyportError} from '../runtime/errors.ts';
import {CERTIFICATE_MODE, KEY_MODE, caFileExists, prepareCaDir, readCaFile, writeCaFile} from './ca-files.ts';
import {checkCaChain, checkKeyFits, parseCaCertificates, parseCaKey} from './ca-certificate.ts';
import type {CaCertificate} from './ca-certificate.ts';
import {certificatePem} from './certificate.ts';
import type {SigningKey} from './certificate.ts';
import {makeIntermediate, makeRoot, newKey, publicKeyOf} from './issue.ts';
import type {Pair} from './issue.ts';

const DAY_MS = 86_400_000;
/** As long as trust stores are hard to change; the key never leaves its file's process. */
const ROOT_LIFE_MS = 3650 * DAY_MS;
/** Short enough that a copied key is of use for months at most; renewed by itself. */
const INTERMEDIATE_LIFE_MS = 365 * DAY_MS;
/** Renewed when less than this is left: time for many restarts, and leaves (7 days) never outlive it. */
const INTERMEDIATE_RENEW_MS = 60 * DAY_MS;

/** What leaves are signed with. */
export interface Issuer {
  readonly certificate: CaCertificate;
  readonly key: SigningKey;
  /** The issuer and the CAs above it, PEM, without the root: what a server sends after its leaf. */
  readonly chainPem: string;
  /** Outside of these no leaf may be valid: the chain's narrowest. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface Ca {
  /** What clients must trust. */
  readonly rootPem: string;
  /** Whether the root was made by us or brought by the operator. */
  readonly origin: 'made' | 'brought';
  /** The current issuer; renews an intermediate of ours in time. Throws CaExpired where it cannot. Cheap: called per leaf. */
  issuer(): Issuer;
}

export interface CaOptions {
  readonly dir: string;
  /** Unix time in ms. */
  readonly now?: () => number;
}

/**
 * Opens the CA in `dir`, making what is missing. Safe when several processes do it at the same time: each file appears whole,
 * the first one wins, and certificates are made for the key that won. Throws SallyportError (Ca...) with file and fix.
 */
export function openCa({dir, now = Date.now}: CaOptions): Ca {
  prepareCaDir(dir);
  const has = (name: string) => caFileExists(dir, name);
  if (has('ca.key') && has('root.key'))
    throw new SallyportError(
      'CaAmbiguous',
      `${dir} holds both ca.key and root.key`,
      'Keep ca.crt and ca.key to use your CA, or root.crt and root.key to use the one that was made; move the others away.',
    );
  if (has('ca.key')) return withIntermediate(dir, 'brought', readPair(dir, 'ca', 1, now()), now);
  if (has('root.crt') && !has('root.key')) return broughtChain(dir, now);
  if (!has('root.key') && has('intermediate.key'))
    throw new SallyportError(
      'CaMissingFile',
      `${dir} holds intermediate.key and no root.crt`,
      'Bring the certificate of its root, or move intermediate.crt and intermediate.key away to have a CA made.',
    );
  // A ca.crt of ours stands beside root.crt; alone it is the operator's, and must not be written over.
  if (!has('root.key') && has('ca.crt'))
    throw new SallyportError(
      'CaMissingFile',
      `${dir} holds ca.crt and no ca.key`,
      'Bring the key of the CA, mode 0600, or move ca.crt away to have a CA made.',
    );
  const key = ensureKey(dir, 'root.key');
  if (!has('root.crt'))
    writeCaFile(dir, 'root.crt', certificatePem(makeRoot(key, now(), ROOT_LIFE_MS)), CERTIFICATE_MODE, 'create');
  return withIntermediate(dir, 'made', readPair(dir, 'root', 1, now()), now);
}

/** What a node's agent keeps: its key and the chain from the intermediate up to the root. */
export const NODE_CA_FILE = 'node-ca.pem';

/** Whether somebody put a CA there, or we made one: then the cluster's is not asked for. */
export function hasOwnCa(dir: string): boolean {
  return ['ca.key', 'root.key', 'intermediate.key'].some((name) => caFileExists(dir, name));
}

/** Whether it is one of shapes 1 to 3: that is, whether openCa would make no root. */
export function isWholeCa(dir: string): boolean {
  const has = (...names: readonly string[]): boolean => names.every((name) => caFileExists(dir, name));
  return (
    has('ca.crt', 'ca.key') || has('root.crt', 'root.key') || has('root.crt', 'intermediate.crt', 'intermediate.key')
  );
}

/** Shape 5. Throws SallyportError (Ca...) with file and fix; an expired one throws at `issuer` too, later. */
export function openNodeCa({dir, now = Date.now}: CaOptions): Ca {
  const text = readCaFile(dir, NODE_CA_FILE);
  const from = `${dir}/${NODE_CA_FILE}`;
  const chain = parseCaCertificates(text, from);
  const key = parseCaKey(text, from);
  checkKeyFits(chain[0]!, key, from);
  checkCaChain(chain, 0, now());
  return fixedCa(chain, key, now);
}

/** A CA that lives in memory only (capture in the pod): nothing is written, nothing survives the process. */
export function ephemeralCa(now: () => number = Date.now): Ca {
  const key = newKey();
  const root: Pair = {chain: parseCaCertificates(certificatePem(makeRoot(key, now(), ROOT_LIFE_MS)), 'the root'), key};
  const intermediateKey = newKey();
  const publicKey = publicKeyOf(intermediateKey.key);
  const make = () => {
    const fields = {publicKey, purpose: 'intermediate', lifeMs: INTERMEDIATE_LIFE_MS};
    return issuerOf(makeIntermediate(root, fields, now(), 'the intermediate'), intermediateKey);
  };
  let issuer = make();
  return {
    rootPem: root.chain.at(-1)!.pem,
    origin: 'made',
    issuer() {
      if (now() > issuer.notAfterMs - INTERMEDIATE_RENEW_MS) issuer = make();
      return issuer;
    },
  };
}

function readPair(
  dir: string,
  name: 'ca' | 'root' | 'intermediate',
  beneath: number,
  nowMs: number,
  root?: CaCertificate[],
): Pair {
  const chain = [...parseCaCertificates(readCaFile(dir, `${name}.crt`), `${dir}/${name}.crt`), ...(root ?? [])];
  const key = parseCaKey(readCaFile(dir, `${name}.key`), `${dir}/${name}.key`);
  checkKeyFits(chain[0]!, key, `${dir}/${name}.key`);
  checkCaChain(chain, beneath, nowMs);
  return {chain, key};
}

/** Shape 3: nothing of it is ours to renew. */
function broughtChain(dir: string, now: () => number): Ca {
  const root = parseCaCertificates(readCaFile(dir, 'root.crt'), `${dir}/root.crt`);
  const {chain, key} = readPair(dir, 'intermediate', 0, now(), root);
  return fixedCa(chain, key, now);
}

function fixedCa(chain: readonly CaCertificate[], key: SigningKey, now: () => number): Ca {
  const issuer = issuerOf(chain, key);
  return {
    rootPem: chain.at(-1)!.pem,
    origin: 'brought',
    issuer() {
      if (now() > issuer.notAfterMs) checkCaChain(chain, 0, now());
      return issuer;
    },
  };
}

/** Shapes 1 and 2: under `root` stands an intermediate of ours, made and renewed here. */
function withIntermediate(dir: string, origin: Ca['origin'], root: Pair, now: () => number): Ca {
  const key = ensureKey(dir, 'intermediate.key');
  const name = 'intermediate.crt';
  const fields = {publicKey: publicKeyOf(key.key), purpose: 'intermediate', lifeMs: INTERMEDIATE_LIFE_MS};
  const make = () => makeIntermediate(root, fields, now(), `${dir}/${name}`);
  if (!caFileExists(dir, name)) writeCaFile(dir, name, make()[0]!.pem, CERTIFICATE_MODE, 'create');
  let chain: readonly CaCertificate[] = [
    ...parseCaCertificates(readCaFile(dir, name), `${dir}/${name}`),
    ...root.chain,
  ];
  checkKeyFits(chain[0]!, key, `${dir}/intermediate.key`);
  const due = () => now() > issuer.notAfterMs - INTERMEDIATE_RENEW_MS;
  let issuer = issuerOf(chain, key);
  const renew = () => {
    // The key stays: every process of this directory signs with the same one, whichever certificate it read.
    chain = make();
    issuer = issuerOf(chain, key);
    writeCaFile(dir, name, chain[0]!.pem, CERTIFICATE_MODE, 'replace');
  };
  // An expired one is renewed, not complained about; everything else about it is checked as if it were brought.
  if (due() && chain[0]!.notAfterMs < root.chain[0]!.notAfterMs) renew();
  checkCaChain(chain, 0, now());
  return {
    rootPem: root.chain.at(-1)!.pem,
    origin,
    issuer() {
      if (due()) {
        checkCaChain(root.chain, 1, now());
        try {
          if (chain[0]!.notAfterMs < root.chain[0]!.notAfterMs) renew();
        } catch (error) {
          // A worker may have no right to write here: the renewed certificate serves from memory.
          if (!(error instanceof SallyportError)) throw error;
        }
      }
      return issuer;
    },
  };
}

function issuerOf(chain: readonly CaCertificate[], key: SigningKey): Issuer {
  return {
    certificate: chain[0]!,
    key,
    chainPem: chain
      .slice(0, -1)
      .map((certificate) => certificate.pem)
      .join(''),
    notBeforeMs: Math.max(...chain.map((certificate) => certificate.notBeforeMs)),
    notAfterMs: Math.min(...chain.map((certificate) => certificate.notAfterMs)),
  };
}

function ensureKey(dir: string, name: string): SigningKey {
  if (!caFileExists(dir, name)) {
    const pem = newKey().key.export({type: 'pkcs8', format: 'pem'});
    writeCaFile(dir, name, pem, KEY_MODE, 'create');
  }
  return parseCaKey(readCaFile(dir, name), `${dir}/${name}`);
}
