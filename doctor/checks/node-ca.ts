/** The CA that signs leaves here: whole, in date, readable by its owner alone, and in the bundle that pods get. */
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {
  checkCaChain,
  checkKeyFits,
  parseCaCertificates,
  parseCaKey,
  type CaCertificate,
} from '../../pki/ca-certificate.ts';
import {readCaFile} from '../../pki/ca-files.ts';
import {SallyportError} from '../../runtime/errors.ts';
import type {Check} from '../check.ts';
import {fail, grave, minor, verdictOf, type Problem} from '../outcome.ts';
import type {NodeWorld} from '../node/world.ts';

const DAY_MS = 86_400_000;
/** The agent renews its intermediate when 60 days are left: half of that, and it could not. */
export const SOON_MS = 30 * DAY_MS;

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

/** The issuer of leaves first, the root last. Throws SallyportError (Ca...) where it does not hold together. */
function chainOf(dir: string): CaCertificate[] {
  const read = (name: string): CaCertificate[] => parseCaCertificates(readCaFile(dir, name), join(dir, name));
  // A brought CA has its key beside its certificate; ours has root.crt.
  const above = existsSync(join(dir, 'ca.key')) ? read('ca.crt') : read('root.crt');
  return [...read('intermediate.crt'), ...above];
}

/** Throws SallyportError for what makes the CA unusable; what is only near is a problem. */
export function caProblems(dir: string, nowMs: number): Problem[] {
  const chain = chainOf(dir);
  const key = join(dir, 'intermediate.key');
  checkKeyFits(chain[0]!, parseCaKey(readCaFile(dir, 'intermediate.key'), key), key);
  checkCaChain(chain, 0, nowMs);
  const problems: Problem[] = [];
  for (const {from, notAfterMs} of chain)
    if (notAfterMs - nowMs < SOON_MS)
      problems.push(
        minor(
          `${from} ends at ${new Date(notAfterMs).toISOString()}`,
          'Renew it; of what we made the intermediate renews itself where the agent can write there.',
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
  new Date(Math.min(...chainOf(dir).map(({notAfterMs}) => notAfterMs))).toISOString();
