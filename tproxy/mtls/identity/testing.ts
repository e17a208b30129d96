/** CAs and SVIDs for the tests of this folder and of the wire. */
import {distinguishedName, extensions, keyIdentifier, signCertificate} from '../../../pki/certificate.ts';
import {
  certificatePem,
  checkCaChain,
  makeRoot,
  makeWorkloadCertificate,
  newKey,
  parseCaCertificates,
  publicKeyOf,
  type Pair,
} from '../../../pki/index.ts';
import type {Journal} from '../../../runtime/journal.ts';
import type {Identity} from './identity.ts';

const DAY_MS = 86_400_000;

/** A workload CA as the controller makes them; `urisOf` null: one that may name anything. */
export function testWorkloadCa(urisOf: string | null = 'cluster.local', nowMs = Date.now(), lifeMs = DAY_MS): Pair {
  const key = newKey();
  const chain = parseCaCertificates(
    certificatePem(makeRoot(key, nowMs, lifeMs, 'workloads root', urisOf)),
    'a test root',
  );
  checkCaChain(chain, 0, nowMs);
  return {key, chain};
}

/** A CA beneath `above`, as organisations have one for each cluster; identities of it bring it along. */
export function testIntermediate(above: Pair, nowMs = Date.now(), lifeMs = DAY_MS): Pair {
  const key = newKey();
  const publicKey = publicKeyOf(key.key);
  const [issuer] = above.chain;
  const certificate = signCertificate(
    {
      ...{issuer: issuer!.subject, subject: distinguishedName({commonName: 'between'}), publicKey},
      ...{notBeforeMs: nowMs, notAfterMs: nowMs + lifeMs},
      extensions: [
        extensions.ca(0),
        extensions.signsCertificates,
        extensions.subjectKeyIdentifier(keyIdentifier(publicKey)),
        extensions.authorityKeyIdentifier(issuer!.keyIdentifier),
      ],
    },
    above.key,
  );
  return {key, chain: [...parseCaCertificates(certificatePem(certificate), 'a test'), ...above.chain]};
}

export const rootPemOf = (ca: Pair): string => ca.chain.at(-1)!.pem;

/** Of the last whole second on, as certificates say times. */
export function testIdentity(ca: Pair, spiffeId: string, lifeMs = 3_600_000, nowMs = Date.now()): Identity {
  const key = newKey();
  const {chainPem, notAfterMs} = makeWorkloadCertificate(
    ca,
    {publicKey: publicKeyOf(key.key), uri: spiffeId, lifeMs},
    nowMs,
  );
  const keyPem = key.key.export({type: 'pkcs8', format: 'pem'}) as string;
  return {spiffeId, keyPem, chainPem, rootsPem: rootPemOf(ca), notAfterMs};
}

interface Heard {
  readonly level: string;
  readonly event: string;
  readonly message: string;
}

/** A journal that keeps what it was told, and waits for what it has not been told yet. */
export function heardJournal(): {
  readonly journal: Journal;
  readonly heard: readonly Heard[];
  /** The first that fits, now or later. */
  readonly said: (fits: (heard: Heard) => boolean) => Promise<Heard>;
} {
  const heard: Heard[] = [];
  let waiting: (() => void)[] = [];
  return {
    heard,
    journal: {
      decision: () => undefined,
      flow: () => undefined,
      notice(level, event, message) {
        heard.push({level, event, message});
        const asked = waiting;
        waiting = [];
        for (const one of asked) one();
      },
    },
    said: (fits) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = heard.find(fits);
          if (found === undefined) waiting.push(look);
          else resolve(found);
        };
        look();
      }),
  };
}
