/** Identities of workloads: who is given one, whose is taken, and what is shown. */
import type {Mutant} from './mutant.ts';

const VERIFY = ['tproxy/mtls/identity/verify-peer.test.ts'];
const JUDGE = ['cluster/controller/issuer/judge.test.ts'];
const WORKLOAD = ['pki/workload.test.ts'];
const FILES = ['tproxy/mtls/identity/files.test.ts'];
const ENROLMENT = ['tproxy/mtls/enrolment.test.ts'];
const FACTS = ['cluster/pod-facts.test.ts'];

const PEER = "Issue 8: the peer's identity is verified against what the workload table says of its address";
const ISSUED = 'Issue 8: identities by a token that the API server knows, audience-bound';

export const MTLS_IDENTITY_MUTANTS: readonly Mutant[] = [
  {
    name: 'any ServiceAccount of our CA is taken for any other',
    guards: PEER,
    file: 'tproxy/mtls/identity/verify-peer.ts',
    find: 'if (text !== expectedId) return',
    replace: 'if (text === "") return',
    tests: VERIFY,
  },
  {
    name: 'a certificate with a further name is taken',
    guards: 'Issue 8: exactly one URI name',
    file: 'tproxy/mtls/identity/verify-peer.ts',
    find: 'if (names.length !== 1 || names[0]!.kind !== URI_NAME)',
    replace: 'if (names[0]?.kind !== URI_NAME)',
    tests: VERIFY,
  },
  {
    name: 'what our CA for sites signs counts between pods, where one root is above both',
    guards: 'ADR 21: who signs for sites signs no identities',
    file: 'tproxy/mtls/identity/verify-peer.ts',
    find: 'extKeyUsage !== null &&\n    !(extKeyUsage',
    replace: 'false &&\n    !(extKeyUsage',
    tests: VERIFY,
  },
  {
    name: 'an identity that has ended is taken',
    guards: 'Issue 8: short-lived',
    file: 'tproxy/mtls/identity/verify-peer.ts',
    find: 'if (nowMs >= Date.parse(x509.validTo)) return',
    replace: 'if (nowMs < 0) return',
    tests: VERIFY,
  },
  {
    name: 'an identity that has ended is shown',
    guards: 'Issue 8: the last good one until its end, and then none',
    file: 'tproxy/mtls/identity/held.ts',
    find: 'return identity !== null && this.#options.now() < identity.notAfterMs ? identity : null;',
    replace: 'return identity;',
    tests: FILES,
  },
  {
    name: 'half of a pair is shown',
    guards: 'Issue 8: half-written pairs are never used',
    file: 'tproxy/mtls/identity/read-identity.ts',
    find: 'if (!leaf.checkPrivateKey(key)) throw',
    replace: 'if (false) throw',
    tests: FILES,
  },
  {
    name: 'a token for somebody else is taken',
    guards: ISSUED,
    file: 'cluster/controller/issuer/judge.ts',
    find: 'if (status.audiences?.includes(IDENTITY_AUDIENCE) !== true)',
    replace: 'if (status.audiences === undefined)',
    tests: JUDGE,
  },
  {
    name: 'an agent has the identities of pods of other nodes',
    guards: "Issue 8: a node's agent may ask for pods of its node only",
    file: 'cluster/controller/issuer/judge.ts',
    find: 'if (caller.node === null || spec?.nodeName !== caller.node)',
    replace: 'if (caller.node === null || spec === undefined)',
    tests: JUDGE,
  },
  {
    name: 'every pod may ask for others',
    guards: "Issue 8: a node's agent may ask, and nobody else",
    file: 'cluster/controller/issuer/judge.ts',
    find: 'if (!agents.has(caller.username))',
    replace: 'if (agents.size === 0)',
    tests: JUDGE,
  },
  {
    name: 'the name in the request is believed',
    guards: "Issue 8: the ServiceAccount is taken from the token, never from the request's words",
    file: 'pki/workload.ts',
    find: "info.raw.equals(requestInfo(publicKey, uri)) ? {kind: 'request', publicKey} : {kind: 'another'}",
    replace: "info.raw.length > 0 ? {kind: 'request', publicKey} : {kind: 'another'}",
    tests: WORKLOAD,
  },
  {
    name: 'a CA of workloads signs for sites',
    guards: 'ADR 21: name constraints',
    file: 'pki/issue.ts',
    find: '...(urisOf === null ? [] : [extensions.onlyUrisOf(urisOf)]),',
    replace: '',
    tests: WORKLOAD,
  },
  {
    name: 'somebody is taken for an address that nobody is known to have',
    guards: PEER,
    file: 'tproxy/mtls/enrolment.ts',
    find: "spiffeId: a.spiffeId === b.spiffeId ? a.spiffeId : '',",
    replace: 'spiffeId: a.spiffeId,',
    tests: ENROLMENT,
  },
  {
    name: 'a label that is changed frees a pod from mTLS while it runs',
    guards: 'DESIGN §10.6: no label that widens policy after start',
    file: 'cluster/pod-facts.ts',
    find: 'now !== null && atStart !== null ? stricter(now, atStart.mode) :',
    replace: 'now !== null && atStart !== null ? now :',
    tests: FACTS,
  },
];
