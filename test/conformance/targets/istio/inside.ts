/** Which steps are about what is inside of TLS: a sidecar passes TLS on as it is, and inspection is the egress gateway's. */
import {
  compilePolicies,
  decide,
  isDecision,
  loadDocuments,
  type Decision,
  type PolicySet,
  type Traffic,
} from '../../../../policy/index.ts';
import {documentsText, withDocuments} from '../../documents.ts';
import type {Case, DocumentValue, Expectation, Step} from '../../format/case.ts';
import {sentSni} from '../../client/request-lines.ts';
import {worldAddresses} from '../../world/addresses.ts';
import {INSTALLATION} from '../policy/installation.ts';
import {dialledAddress, lookUp, workloadValue} from '../policy/question.ts';

const INSPECTION =
  'the decision needs what is inside of TLS, which a sidecar passes on unread: inspection is the egress gateway’s';
const ANSWER =
  'the answer to a refused TLS connection is inside of TLS, and a sidecar has no certificate to say it with';

/** Why a step cannot be tried with sidecars alone; null: it can. */
export function insideOfTls(world: Case, step: Step): string | null {
  const tls = tlsOf(step);
  if (tls === null) return null;
  const addresses = worldAddresses(world);
  const ip = dialledAddress(tls.host, addresses);
  if (ip === null) return null;
  const policies = policiesAt(world, step);
  const ask = (canInspect: boolean): Decision | 'unread' | 'request' =>
    decided(policies, world, step, {ip, port: tls.port}, tls.traffic, addresses, canInspect);
  const seen = ask(true);
  if (seen !== 'request' && seen !== 'unread') return seen.verdict === 'allow' || !asksForAnswer(step) ? null : ANSWER;
  // An https rule of hosts alone holds by the SNI (POLICY, "Unknown is not absent").
  const unread = ask(false);
  return typeof unread === 'object' && unread.verdict === 'allow' && saysAll(unread, step.expect) ? null : INSPECTION;
}

/** Whether what passes unread is all that the step is about. */
function saysAll(unread: Decision, expect: Expectation): boolean {
  if (expect.verdict === 'deny' || expect.reached === null || expect.responses !== undefined) return false;
  const {policy, rule, reason, wouldDeny} = unread;
  return (
    (expect.rule === undefined ||
      expect.rule === (rule === null || policy === null ? null : `${policy.name}/${rule}`)) &&
    (expect.reason === undefined || expect.reason === reason) &&
    (expect.wouldDeny === undefined || expect.wouldDeny === wouldDeny)
  );
}

/** The names that tls rules carry, or that pass for nobody looks into them anywhere: an operator excepts them from inspection. */
export function carriedUnread(world: Case): readonly string[] {
  const addresses = worldAddresses(world);
  const moments = [world.steps[0]!, ...world.steps.filter((_, i) => world.steps[i - 1]?.action.kind === 'apply')];
  const names = new Set<string>();
  const watched = new Set<string>();
  const inspected = new Set<string>();
  for (const moment of moments) {
    const policies = policiesAt(world, moment);
    for (const server of world.servers)
      for (const {port} of server.ports)
        for (const workload of world.workloads) {
          const traffic: Traffic = {kind: 'tls', tls: {sni: server.name, alpn: [], ech: false}};
          const place = {ip: dialledAddress(server.name, addresses)!, port};
          const answer = decided(policies, world, {...moment, workload}, place, traffic, addresses, true);
          if (answer === 'request') inspected.add(server.name);
          else if (typeof answer === 'object' && answer.verdict === 'allow')
            (answer.enforced && answer.rule !== null ? names : watched).add(server.name);
        }
  }
  return [...names, ...[...watched].filter((name) => !inspected.has(name) && !names.has(name))];
}

const asksForAnswer = ({expect}: Step): boolean =>
  expect.status !== undefined ||
  expect.headers !== undefined ||
  expect.body !== undefined ||
  expect.responses !== undefined;

interface TlsStep {
  readonly host: string;
  readonly port: number;
  readonly traffic: Traffic;
}

function tlsOf({action}: Step): TlsStep | null {
  const hello = (sni: string | null, alpn: readonly string[]): Traffic => ({
    kind: 'tls',
    tls: {sni, alpn: [...alpn], ech: false},
  });
  switch (action.kind) {
    case 'request': {
      if (action.url.scheme !== 'https') return null;
      const place = action.connectTo ?? {host: action.url.host, port: action.url.port};
      return {...place, traffic: hello(sentSni(action), action.http === '2' ? ['h2', 'http/1.1'] : ['http/1.1'])};
    }
    case 'raw':
      return action.tls === null ? null : {...action.to, traffic: hello(action.tls.sni, action.tls.alpn)};
    case 'ping':
    case 'udp':
    case 'apply':
      return null;
  }
}

/** The policies in force when the step runs. */
function policiesAt(world: Case, step: Step): PolicySet {
  let documents: readonly DocumentValue[] = world.documents;
  for (const {action, expect} of world.steps.slice(0, world.steps.indexOf(step)))
    if (action.kind === 'apply' && expect.loadError === undefined)
      documents = withDocuments(documents, action.documents);
  return compilePolicies(loadDocuments([{file: world.file, text: documentsText(documents)}]).documents, INSTALLATION);
}

function decided(
  policies: PolicySet,
  world: Case,
  {workload}: Step,
  place: {readonly ip: string; readonly port: number},
  traffic: Traffic,
  addresses: ReadonlyMap<string, readonly string[]>,
  canInspect: boolean,
): Decision | 'unread' | 'request' {
  const names = new Map<string, readonly string[] | 'failed'>();
  for (;;) {
    const answer = decide(
      policies,
      {
        id: '',
        arrived: 'mesh',
        workload: workloadValue(world, workload),
        source: {ip: '10.77.0.10', port: 40000},
        destination: {...place, host: null},
        connectAuthority: null,
        canInspect,
        traffic,
      },
      names,
    );
    if (isDecision(answer)) return answer;
    if (answer.needs === 'request') return 'request';
    if (answer.needs !== 'addresses') return 'unread';
    for (const [name, of] of lookUp(answer.of, addresses)) names.set(name, of);
  }
}
