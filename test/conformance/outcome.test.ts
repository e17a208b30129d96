import {describe, expect, test} from '@jest/globals';
import {readCase} from './format/read.ts';
import {parseKnown, NOTHING_KNOWN} from './known.ts';
import {judgeFlips, judgeStep, reportLines, type Report} from './outcome.ts';
import {NOTHING_OBSERVED, type Observation} from './observation.ts';
import {selectedSteps} from './run.ts';

const world = readCase(
  'w.yaml',
  `name: w
workloads: {app: {namespace: default}}
servers: {a.test: {ports: {80: http}}}
steps:
- {name: first, request: {url: "http://a.test/", connection: c}, expect: {status: 200}}
- {name: second, request: {url: "http://a.test/"}, expect: {verdict: deny, status: 403, reached: null}}
- {name: change, apply: []}
- {name: third, request: {url: "http://a.test/", connection: c}, expect: {status: 502, reached: null}}
- {name: fourth, request: {url: "http://a.test/"}, expect: {status: 200}}
`,
);
const [, second, , third] = world.steps;
const denied = (status: number): Observation => ({
  ...NOTHING_OBSERVED,
  sightings: [],
  decision: {verdict: 'deny', reason: 'NoRuleMatched', rule: null, wouldDeny: true},
  answer: {kind: 'response', status, headers: new Map(), body: ''},
});
const known = parseKnown(
  'known.yaml',
  'differences: [{case: w, step: second, target: tproxy, fields: [status], reason: it says 404}]',
);

describe('a step is judged', () => {
  test('ok where all agrees', () => {
    expect(judgeStep(world, second!, 'tproxy', {network: true}, denied(403), NOTHING_KNOWN)).toEqual({
      kind: 'ok',
      known: null,
    });
  });

  test('FAIL with every difference', () => {
    const outcome = judgeStep(world, second!, 'tproxy', {network: true}, denied(404), NOTHING_KNOWN);
    expect(outcome).toMatchObject({kind: 'FAIL', problems: ['status: expected 403, was status 404']});
  });

  test('ok with its reason where the difference is listed for this target, and only for it', () => {
    expect(judgeStep(world, second!, 'tproxy', {network: true}, denied(404), known)).toMatchObject({
      kind: 'ok',
      known: {reason: 'it says 404'},
    });
    expect(judgeStep(world, second!, 'envoy', {network: true}, denied(404), known)).toMatchObject({kind: 'FAIL'});
  });

  test('a listed difference excuses nothing else', () => {
    const allowed: Observation = {
      ...denied(404),
      decision: {verdict: 'allow', reason: 'RuleAllowed', rule: null, wouldDeny: false},
    };
    expect(judgeStep(world, second!, 'tproxy', {network: true}, allowed, known)).toMatchObject({kind: 'FAIL'});
  });

  test('a step of which the target knows nothing is a skip, never ok', () => {
    const allowed: Observation = {
      ...denied(200),
      answer: null,
      decision: {verdict: 'allow', reason: 'RuleAllowed', rule: null, wouldDeny: false},
    };
    expect(judgeStep(world, third!, 'policy', {network: false}, allowed, NOTHING_KNOWN)).toEqual({
      kind: 'skip',
      why: 'nothing that the target policy checks',
      listed: true,
    });
  });

  test('an expectation that is never compared is a survivor of the self-test', () => {
    expect(judgeFlips(world, second!, {network: true}, denied(403))).toMatchObject({survivors: []});
  });
});

describe('the list of known differences', () => {
  test.each([
    [
      'a verdict',
      'differences: [{case: w, step: s, target: tproxy, fields: [verdict], reason: r}]',
      '"verdict" is none of',
    ],
    [
      'what is reached',
      'differences: [{case: w, step: s, target: tproxy, fields: [reached], reason: r}]',
      '"reached" is none of',
    ],
    ['nothing', 'differences: [{case: w, step: s, target: tproxy, reason: r}]', 'fields: say which'],
    ['no reason', 'skips: [{case: w, step: s, target: tproxy}]', 'reason is missing'],
  ])('may not touch %s', (_what, text, problem) => {
    expect(() => parseKnown('known.yaml', text)).toThrow(problem);
  });
});

describe('the report', () => {
  const report = (outcome: Report['outcome']): Report => ({
    case: 'w',
    step: 'second',
    target: 'tproxy',
    outcome,
    notes: ['a note'],
    durationMs: 12,
  });
  test.each<[string, Report['outcome'], string[]]>([
    ['a step that passed', {kind: 'ok', known: null}, ['ok    w / second  (tproxy)']],
    [
      'one that failed, with the difference and the log below',
      {kind: 'FAIL', problems: ['status: expected 403, was status 404'], notes: ['{"event":"egress.decision"}']},
      [
        'FAIL  w / second  (tproxy)',
        '      status: expected 403, was status 404',
        '      | {"event":"egress.decision"}',
      ],
    ],
    [
      'one that was skipped, with the reason',
      {kind: 'skip', why: 'for envoy', listed: true},
      ['skip  w / second  (tproxy): for envoy'],
    ],
  ])('%s', (_name, outcome, lines) => {
    expect(reportLines(report(outcome), false)).toEqual(lines);
  });
});

test('a selected step runs with what it builds on: changes before it, and its kept connection', () => {
  const names = selectedSteps(world, 'third').map(({step, reported}) => `${step.name} ${reported}`);
  expect(names).toEqual(['first false', 'change false', 'third true']);
});
