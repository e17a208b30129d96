/** The CA that signs leaves here: whole, in date, readable by its owner alone, and in the bundle that pods get. */
import {existsSync, readFileSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {
  checkCaChain,
  checkKeyFits,
  parseCaCertificates,
  parseCaKey,
  type CaCertificate,
} from '../../pki/ca-certificate.ts';
import {hasOwnCa, NODE_CA_FILE} from '../../pki/ca.ts';
import {readCaFile} from '../../pki/ca-files.ts';
import type {SigningKey} from '../../pki/certificate.ts';
import {SallyportError} from '../../runtime/errors.ts';
import type {Check} from '../check.ts';
import {fail, grave, minor, verdictOf, type Problem} from '../outcome.ts';
import type {NodeWorld} from '../node/world.ts';

const DAY_MS = 86_400_000;
/** The agent renews its intermediate when 60 days are left: half of that, and it could not. */
const SOON_MS = 30 * DAY_MS;
/** A node's of the cluster lives a week and is renewed at two thirds of it. */
const SOON_OF_LIFE = 1 / 6;

export const nodeCa: Check<NodeWorld> = {
  name: 'node.ca',
  looks: 'the CA of --ca-dir: chain, dates, keys, bundle',
  run: async ({agent, now}) => {
    const {caDir} = agent().config;
    try {
      return verdictOf(caProblems(caDir, now()), `the chain holds until ${untilOf(caDir)}`);
    } catch (error) {
      if (!(error instanceof SallyportError)) throw error;
      // Its own words: what is wrong with which file, and what to do.
      return fail(error.message, error.fix);
    }
  },
};

interface Held {
  /** The issuer of leaves first, the root last. */
  readonly chain: readonly CaCertificate[];
  readonly key: SigningKey;
  readonly keyFile: string;
}

/** What is there, of the shapes that pki/ca.ts knows. Throws SallyportError (Ca...) where it does not hold together. */
function heldIn(dir: string): Held {
  const read = (name: string): CaCertificate[] => parseCaCertificates(readCaFile(dir, name), join(dir, name));
  if (hasOwnCa(dir)) {
    const keyFile = join(dir, 'intermediate.key');
    // A brought CA has its key beside its certificate; ours has root.crt.
    const above = existsSync(join(dir, 'ca.key')) ? read('ca.crt') : read('root.crt');
    const chain = [...read('intermediate.crt'), ...above];
    return {chain, key: parseCaKey(readCaFile(dir, 'intermediate.key'), keyFile), keyFile};
  }
  const keyFile = join(dir, NODE_CA_FILE);
  if (!existsSync(keyFile))
    throw new SallyportError(
      'CaAwaited',
      `${dir} holds no CA: nothing can be inspected, and what would have to be is refused`,
      'In a cluster the controller signs one for each node: see its log, and kubectl get csr.',
    );
  if (statSync(keyFile).mode & 0o077)
    throw new SallyportError(
      'CaPermissions',
      `${keyFile} can be read by others than its owner`,
      `Run: chmod 600 ${keyFile}`,
    );
  return {chain: read(NODE_CA_FILE), key: parseCaKey(readCaFile(dir, NODE_CA_FILE), keyFile), keyFile};
}

/** Throws SallyportError for what makes the CA unusable; what is only near is a problem. */
export function caProblems(dir: string, nowMs: number): Problem[] {
  const {chain, key, keyFile} = heldIn(dir);
  checkKeyFits(chain[0]!, key, keyFile);
  checkCaChain(chain, 0, nowMs);
  const problems: Problem[] = [];
  for (const {from, notBeforeMs, notAfterMs} of chain)
    if (notAfterMs - nowMs < Math.min(SOON_MS, (notAfterMs - notBeforeMs) * SOON_OF_LIFE))
      problems.push(
        minor(
          `${from} ends at ${new Date(notAfterMs).toISOString()}`,
          'Renew it. What we made is renewed by the agent where it can write there, in a cluster with the controller’s word: see their logs.',
        ),
      );
  const root = chain.at(-1)!.x509.fingerprint256;
  for (const name of ['ca.crt', 'bundle.pem']) {
    const path = join(dir, name);
    const bundle = existsSync(path) ? parseCaCertificates(readFileSync(path, 'utf8'), path) : [];
    if (!bundle.some(({x509}) => x509.fingerprint256 === root))
      problems.push(
        grave(
          `${path} does not hold the root: pods that trust it reject every leaf`,
          'Restart the agent: it writes the bundle.',
        ),
      );
  }
  return problems;
}

const untilOf = (dir: string): string =>
  new Date(Math.min(...heldIn(dir).chain.map(({notAfterMs}) => notAfterMs))).toISOString();
