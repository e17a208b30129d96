/** decide() against the naive reference, and what must hold of any policies and any request. */
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {
  documents,
  exchange,
  installation,
  largePolicy,
  ruleOf,
  zone,
  type Exchange,
} from '../test/reference/arbitraries.ts';
import {referenceDecide, type Verdict} from '../test/reference/decide.ts';
import {compilePolicies} from './compile.ts';
import {decide} from './decide.ts';
import {isDecision, type Decision, type Names, type Needs} from './decision.ts';
import type {Document, Installation, PolicyDocument, RuleDocument} from './documents.ts';
import {REASONS} from './reasons.ts';
import type {NotLoaded} from './select.ts';
import type {Address, EgressRequest} from './request.ts';

/** Chains of needs: bytes, request, and names one after the other. */
const MAX_ROUNDS = 40;

interface Step {
  readonly request: EgressRequest;
  readonly names: Names;
  readonly answer: Decision | Needs;
}

/** Asks as a dataplane does, layer after layer, answering what is needed. */
function drive(
  loaded: readonly Document[],
  facts: Installation,
  {base, layers}: Exchange,
  found: Names,
  notLoaded: NotLoaded = [],
): Step[] {
  const policies = compilePolicies(loaded, facts, notLoaded);
  const names = new Map<string, readonly Address[] | 'failed'>();
  const steps: Step[] = [];
  let layer = 0;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const request: EgressRequest = {...base, traffic: layers[layer]!};
    const answer = decide(policies, request, names);
    steps.push({request, names: new Map(names), answer});
    if (isDecision(answer)) return steps;
    if (answer.needs === 'addresses') for (const name of answer.of) names.set(name, found.get(name) ?? 'failed');
    else if (layer + 1 < layers.length) layer++;
    else return steps;
  }
  throw new Error('the questions do not end');
}

function summary(answer: Decision | Needs) {
  if (!isDecision(answer)) return answer.needs === 'addresses' ? {...answer, of: [...answer.of].sort()} : answer;
  const {verdict, enforced, reason, policy, rule, wouldDeny, dial, via, response, inspect} = answer;
  const label = policy === null || rule === null ? null : `${policy.namespace ?? ''}/${policy.name}/${rule}`;
  return {verdict, enforced, reason, rule: label, wouldDeny, dial, via, status: response?.status ?? null, inspect};
}

/** Names in no particular order, each once. */
const sorted = (answer: Verdict | Needs): Verdict | Needs =>
  'needs' in answer && answer.needs === 'addresses' ? {...answer, of: [...new Set(answer.of)].sort()} : answer;

const RUNS = {numRuns: Number(process.env['SALLYPORT_FC_RUNS'] ?? 1500)};

describe('decide', () => {
  test('agrees with the reference that scans every rule, step by step', () => {
    fc.assert(
      fc.property(documents, installation, exchange, zone, (loaded, facts, asked, found) => {
        for (const {request, names, answer} of drive(loaded, facts, asked, found)) {
          expect(summary(answer)).toEqual(sorted(referenceDecide(loaded, facts, request, names)));
        }
      }),
      RUNS,
    );
  });

  test('agrees with it where the index has to divide its buckets', () => {
    fc.assert(
      fc.property(largePolicy, documents, installation, exchange, zone, (large, loaded, facts, asked, found) => {
        const all = [large, ...loaded];
        for (const {request, names, answer} of drive(all, facts, asked, found))
          expect(summary(answer)).toEqual(sorted(referenceDecide(all, facts, request, names)));
      }),
      {numRuns: Math.ceil(RUNS.numRuns / 6)},
    );
  });

  test('agrees with it where policies could not be loaded, and nothing that they may select is allowed anything', () => {
    const notLoaded = fc.array(fc.constantFrom(null, 'shop', 'other'), {minLength: 1, maxLength: 2});
    fc.assert(
      fc.property(documents, installation, exchange, zone, notLoaded, (loaded, facts, asked, found, lacking) => {
        const steps = drive(loaded, facts, asked, found, lacking);
        for (const {request, names, answer} of steps)
          expect(summary(answer)).toEqual(sorted(referenceDecide(loaded, facts, request, names, lacking)));
        const {answer} = steps.at(-1)!;
        if (!isDecision(answer) || (lacking.every((one) => one === 'other') && asked.base.workload !== 'unknown'))
          return;
        expect(answer.verdict).toBe('deny');
      }),
      {numRuns: Math.ceil(RUNS.numRuns / 3)},
    );
  });

  test('asks no question twice, and its answers hold together', () => {
    fc.assert(
      fc.property(documents, installation, exchange, zone, (loaded, facts, asked, found) => {
        const steps = drive(loaded, facts, asked, found);
        const {answer} = steps.at(-1)!;
        if (!isDecision(answer)) return;
        expect(REASONS).toContain(answer.reason);
        expect(answer.response !== null).toBe(answer.verdict === 'deny');
        if (answer.verdict === 'deny') {
          expect(answer.dial).toEqual([]);
          expect(JSON.stringify(answer.response)).toContain(answer.id);
        } else if (answer.dial.length === 0) {
          // Only a parent that gets the name dials what was not judged here.
          expect(answer.via).toMatchObject({kind: 'proxy', sends: 'name'});
        }
      }),
      RUNS,
    );
  });

  test('a Deny rule more never opens anything', () => {
    fc.assert(
      fc.property(documents, installation, exchange, zone, ruleOf('added'), (loaded, facts, asked, found, rule) => {
        const [first] = loaded;
        if (first === undefined || first.kind === 'UpstreamProxy' || first.mode === 'Audit') return;
        const before = drive(loaded, facts, asked, found).at(-1)!.answer;
        const denying: RuleDocument = {...rule, action: 'Deny', via: null, request: NOTHING, response: NOTHING};
        const after = drive([withRule(first, denying), ...loaded.slice(1)], facts, asked, found).at(-1)!.answer;
        const opened =
          isDecision(after) && after.verdict === 'allow' && isDecision(before) && before.verdict === 'deny';
        expect(opened).toBe(false);
      }),
      RUNS,
    );
  });

  test('rules for destinations that have nothing to do with it change nothing', () => {
    fc.assert(
      fc.property(
        documents,
        installation,
        exchange,
        zone,
        fc.integer({min: 1, max: 40}),
        (loaded, facts, asked, found, many) => {
          const [first] = loaded;
          if (first === undefined || first.kind === 'UpstreamProxy') return;
          const elsewhere = Array.from({length: many}, (_, i) => unrelated(i));
          const before = drive(loaded, facts, asked, found).map(({answer}) => summary(answer));
          const grown = {...first, rules: [...elsewhere, ...first.rules]};
          const after = drive([grown, ...loaded.slice(1)], facts, asked, found).map(({answer}) => summary(answer));
          expect(after).toEqual(before);
        },
      ),
      RUNS,
    );
  });
});

const NOTHING = {set: {}, add: {}, remove: []};

const withRule = (policy: PolicyDocument, rule: RuleDocument): PolicyDocument => ({
  ...policy,
  rules: [...policy.rules, rule],
});

/** Same port and scheme as the generated ones, and on a port that nobody uses where it is an Allow (ports decide what is looked at). */
function unrelated(i: number): RuleDocument {
  const deny = i % 3 === 0;
  return {
    name: `unrelated-${i}`,
    action: deny ? 'Deny' : 'Allow',
    to: {
      hosts: i % 2 === 0 ? [`h${i}.elsewhere.example`] : [`*.s${i}.elsewhere.example`],
      cidrs: [],
      schemes: deny ? ['https', 'http'] : ['https'],
      ports: deny ? null : [{from: 9999, to: 9999}],
    },
    http: i % 5 === 0 ? {methods: null, paths: [`/p${i}/**`], headers: {}, query: {}} : null,
    when: null,
    request: NOTHING,
    response: NOTHING,
    via: null,
    at: {file: 'unrelated.yaml', line: 1, column: 1},
  };
}
