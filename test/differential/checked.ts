/** The ext_authz service in process: CheckRequest in, CheckResponse out, and what Envoy makes of it. */
import {fromBinary} from '@bufbuild/protobuf';
import {decide, type HeaderLines, type Names, type PolicySet, type Workload} from '../../policy/index.ts';
import type {Filters} from '../../filters/contract.ts';
import {check} from '../../extauthz/checker.ts';
import {
  CheckResponseSchema,
  type CheckResponse,
  type OkHttpResponse,
} from '../../extauthz/gen/envoy/service/auth/v3/external_auth_pb.js';
import {readHops} from '../../extauthz/identity/hops.ts';
import {Judge} from '../../extauthz/judge.ts';
import type {Journal} from '../../runtime/journal.ts';
import {sortedFields, type Outcome} from './outcome.ts';
import type {Asked} from './envoy-asks.ts';

export interface Checked {
  readonly outcome: Outcome;
  readonly response: CheckResponse;
}

/** Nobody waits for a lookup here: answers are there at once. */
export function checkExchange(policies: PolicySet, workload: Workload | 'unknown', zone: Names, asked: Asked): Checked {
  const bytes: Uint8Array[] = [];
  run({policies: () => policies, workload, zone, filters: null}, asked, (answer) => bytes.push(answer));
  if (bytes.length !== 1) throw new Error(`there were ${bytes.length} answers`);
  const response = fromBinary(CheckResponseSchema, bytes[0]!);
  return {response, outcome: asEnvoyTakesIt(response, asked.http?.headers ?? null)};
}

/** The outcomes where a script filter takes its time, and the policies are replaced meanwhile. */
export function checkFiltered(
  before: PolicySet,
  after: PolicySet,
  workload: Workload,
  zone: Names,
  asked: Pick<Asked, 'message' | 'told'>,
): Outcome[] {
  let policies = before;
  const outcomes: Outcome[] = [];
  const filters: Filters = {
    hasRequest: true,
    hasResponse: false,
    request(flow, done) {
      policies = after;
      done({kind: 'continue', headers: flow.headers});
    },
    response: () => undefined,
  };
  run({policies: () => policies, workload, zone, filters}, asked, (answer) =>
    outcomes.push(asEnvoyTakesIt(fromBinary(CheckResponseSchema, answer), null)),
  );
  return outcomes;
}

interface Service {
  readonly policies: () => PolicySet;
  readonly workload: Workload | 'unknown';
  readonly zone: Names;
  readonly filters: Filters | null;
}

function run(
  {policies, workload, zone, filters}: Service,
  asked: Pick<Asked, 'message' | 'told'>,
  answer: (bytes: Uint8Array) => void,
): void {
  const journal: Journal = {decision: () => undefined, flow: () => undefined, notice: () => undefined};
  const judge = new Judge({
    policies,
    decide,
    resolve: (names, _recent, done) => done(new Map(names.map((name) => [name, zone.get(name) ?? 'failed']))),
    journal,
  });
  check(
    {
      judge,
      journal,
      hops: readHops([], 'test'),
      dials: 'address',
      directory: () => ({
        at: () => (workload === 'unknown' ? undefined : workload),
        pod: () => undefined,
        account: () => undefined,
      }),
      filters,
      policies,
      authorization: () => null,
      trustDomain: () => null,
    },
    asked.message,
    {peer: null, metadata: (key) => (Object.hasOwn(asked.told, key) ? asked.told[key]! : null)},
    answer,
  );
}

/** By the recipe's measurements, not by the documentation: see mutated(). */
function asEnvoyTakesIt(response: CheckResponse, lines: HeaderLines | null): Outcome {
  const {status, httpResponse, dynamicMetadata} = response;
  // Envoy takes no status for OK.
  const allowed = (status?.code ?? 0) === 0;
  const said = (dynamicMetadata ?? {}) as Record<string, string | boolean>;
  const denied = httpResponse.case === 'deniedResponse' ? httpResponse.value : null;
  const ok = httpResponse.case === 'okResponse' ? httpResponse.value : null;
  return {
    verdict: allowed ? 'allow' : 'deny',
    reason: String(said['reason']),
    rule:
      said['policy'] === '' || said['rule'] === '' ? null : policyRule(String(said['policy']), String(said['rule'])),
    wouldDeny: said['wouldDeny'] === 'unknown' ? 'unknown' : said['wouldDeny'] === true,
    status: allowed || lines === null ? null : (denied?.status?.code ?? 403),
    forwarded: allowed && lines !== null && ok !== null ? sortedFields(mutated(lines, ok)) : null,
  };
}

const policyRule = (policy: string, rule: string): string => `${policy.includes('/') ? policy : `/${policy}`}/${rule}`;

/** `headers`: append true joins, where there is one; else it overwrites. Then headers_to_remove. append_action means nothing here. */
function mutated(lines: HeaderLines, {headers, headersToRemove}: OkHttpResponse): string[] {
  let now: string[] = lines.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text));
  const without = (name: string): string[] => now.filter((_, i) => now[i - (i % 2)] !== name);
  for (const {header, append} of headers) {
    const name = header!.key.toLowerCase();
    const value = header!.value;
    const there = now.some((text, i) => i % 2 === 0 && text === name);
    if (append === true) {
      if (there) now.push(name, value);
    } else now = [...without(name), name, value];
  }
  for (const name of headersToRemove) now = without(name.toLowerCase());
  return now;
}
