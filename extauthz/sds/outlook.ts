/**
 * What may become of TLS connections by this name, as far as a certificate for it is concerned. Envoy asks for a secret by
 * SNI alone: neither the client, nor the port, nor the address is known, and one certificate serves all of them.
 *
 *   1. For some workload the connection would be decrypted because an Allow rule wants to see the request: inspected.
 *   2. Else some workload's rules would carry it unread: passed. There is no certificate then, for nothing that a tls rule
 *      holds is ever decrypted; that others are refused the name without being told why is the smaller harm.
 *   3. Else some workload that trusts the CA is refused: refused. It gets a certificate, so that status and body are seen.
 *   4. Else nobody could read an answer: unseen.
 *
 * A certificate lets nothing out: each request inside is a Check of its own.
 */
import {PROOF} from '../../runtime/names.ts';
import {decide, isDecision, normalizeHost, parseAddress, type PolicySet, type Workload} from '../../policy/index.ts';

export type Outlook = 'inspected' | 'passed' | 'refused' | 'unseen';

/** As a certificate mapper is told to ask where a client sends no SNI. */
export const NO_SNI = '_no_sni_';

/** A policy rarely names more than two or three; each is one question. Ports beyond are judged by the Check alone. */
const MAX_PORTS = 32;

/** Asked first: where TLS nearly always is. */
const DEFAULT_PORT = 443;

/** The host name that an SNI stands for, as decisions are made on it; null: it is none, and no certificate is made for it. */
export function nameOf(sni: string): string | null {
  const name = sni === NO_SNI ? null : normalizeHost(sni);
  // Whoever holds a key for the proof's name could prove a capture that is none (docs/GUARD.md).
  return name === null || name === PROOF.name || parseAddress(name) !== null ? null : name;
}

/** For a gateway, all workloads whose traffic comes through it; `unknown` is a client of no known workload. Pure. */
export function outlookOf(
  policies: PolicySet | 'not-loaded',
  name: string,
  workloads: Iterable<Workload | 'unknown'>,
): Outlook {
  if (policies === 'not-loaded') return 'unseen';
  const ports = portsOf(policies);
  let found: Outlook = 'unseen';
  for (const workload of workloads)
    for (const port of ports) {
      const one = outlookFor(policies, name, workload, port);
      if (one === 'inspected') return one;
      if (one === 'passed' || (one === 'refused' && found === 'unseen')) found = one;
    }
  return found;
}

function outlookFor(policies: PolicySet, name: string, workload: Workload | 'unknown', port: number): Outlook {
  const answer = asked(policies, name, workload, port);
  if (isDecision(answer)) return answer.verdict === 'allow' ? 'passed' : answer.inspect ? 'refused' : 'unseen';
  // Addresses are asked for where the connection could be carried as it is.
  if (answer.needs !== 'request') return 'passed';
  if (workload === 'unknown') return 'inspected';
  // To who trusts the CA a refusal is put off until its request is there. Who does not is refused at once.
  const plainly = asked(policies, name, {...workload, trustsCa: false}, port);
  return isDecision(plainly) && plainly.verdict === 'deny' ? 'refused' : 'inspected';
}

const NO_NAMES = new Map<string, never>();

const asked = (policies: PolicySet, name: string, workload: Workload | 'unknown', port: number) =>
  decide(
    policies,
    {
      id: '',
      arrived: 'mesh',
      workload,
      source: {ip: '0.0.0.0', port: 0},
      destination: {ip: null, port, host: null},
      connectAuthority: null,
      canInspect: true,
      traffic: {kind: 'tls', tls: {sni: name, alpn: [], ech: false}},
    },
    NO_NAMES,
  );

const known = new WeakMap<PolicySet, readonly number[]>();

/** Ports that stand for all: between two neighbours of them no rule for TLS begins or ends. */
function portsOf(policies: PolicySet): readonly number[] {
  let ports = known.get(policies);
  if (ports === undefined) known.set(policies, (ports = standIns(policies)));
  return ports;
}

function standIns(policies: PolicySet): readonly number[] {
  const ports = new Set([DEFAULT_PORT]);
  for (const {document} of policies.selector.policies)
    for (const {action, to} of document.rules) {
      // Where tcp rules alone hold, an Envoy that decrypts all TLS is not the way: bytes have a filter chain of their own.
      if (to.schemes !== null && !to.schemes.includes('https') && !to.schemes.includes('tls')) continue;
      // An Allow begins to hold at `from`; a Deny ceases to behind `to`.
      for (const {from, to: last} of to.ports ?? []) ports.add(action === 'Allow' ? from : Math.min(last + 1, 65535));
    }
  return [...ports].slice(0, MAX_PORTS);
}
