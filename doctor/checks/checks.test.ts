import {chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {openCa, publishTrust} from '../../pki/index.ts';
import type {PlacedMember} from '../../tproxy/capture/config.ts';
import {skewed} from './cluster-api.ts';
import {conditionProblems} from './cluster-policies.ts';
import {problemsOf, type Readiness} from './node-agent.ts';
import {caProblems} from './node-ca.ts';
import {compared} from './node-members.ts';
import {probed} from './node-probe.ts';
import {CLUSTER_CHECKS, NODE_CHECKS} from './index.ts';

test('every check has a name of its own, by where it looks', () => {
  const names = [...NODE_CHECKS, ...CLUSTER_CHECKS].map(({name}) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const {name} of NODE_CHECKS) expect(name).toMatch(/^node\.[a-z]+$/);
  for (const {name} of CLUSTER_CHECKS) expect(name).toMatch(/^cluster\.[a-z]+$/);
});

describe('node.probe', () => {
  const member = (mode: PlacedMember['mode']): PlacedMember => ({
    ip: '10.0.0.5',
    mode,
    uid: 'u',
    interface: 'v',
    port: null,
  });
  const result = {family: 4, sent: 5, udp: 'EHOSTUNREACH', tcp: 'connected'} as const;
  test.each<[string, PlacedMember['mode'], object, Record<string, number>, RegExp | null]>([
    ['all is counted', 'locked', {}, {refused_udp: 5, taken: 1}, null],
    [
      'fewer datagrams are counted than were sent',
      'locked',
      {},
      {refused_udp: 4, taken: 1},
      /rose by 4: they went past/,
    ],
    ['an Audit pod’s datagrams pass', 'captured', {udp: null}, {taken: 1}, null],
    [
      'TCP is dropped while nobody listens',
      'locked',
      {tcp: 'ETIMEDOUT'},
      {refused_udp: 5, listener_away: 1},
      /taken by nobody/,
    ],
    ['TCP goes nowhere we see', 'locked', {tcp: 'EHOSTUNREACH'}, {refused_udp: 5}, /was not taken \(EHOSTUNREACH\)/],
    ['somebody else answers for a documentation address', 'locked', {}, {refused_udp: 5}, /answered, and not by us/],
    [
      'a family without a route proves nothing and breaks nothing',
      'locked',
      {tcp: 'ENETUNREACH', udp: 'ENETUNREACH', sent: 0},
      {},
      null,
    ],
  ])('%s', (_, mode, more, counters, found) => {
    const problems = probed([member(mode)], [{...result, ...more}], (name) => counters[name] ?? 0);
    if (found === null) expect(problems).toEqual([]);
    else expect(problems.map((one) => one.found).join()).toMatch(found);
  });
});

describe('node.members', () => {
  const sets = (name: string, ...elements: string[]): Map<string, Set<string>> => new Map([[name, new Set(elements)]]);
  test.each<[string, string, string[], string[], boolean | null]>([
    ['who is not locked is free', 'locked4', ['a'], [], true],
    ['who is locked and nobody is only cut off', 'locked4', [], ['a'], false],
    ['who is free and should not be', 'free4', [], ['a'], true],
    ['who is free and is not yet', 'free4', ['a'], [], false],
    [
      'a prefix of one address is listed as that address',
      'pods4',
      ['10.0.0.7/32', 'fd00::/128', '10.1.0.0/24'],
      ['10.0.0.7', 'fd00::', '10.1.0.0/24'],
      null,
    ],
    ['as it should be', 'locked4', ['a', 'b'], ['b', 'a'], null],
  ])('%s', (_, name, wanted, actual, isGrave) => {
    const problems = compared(sets(name, ...wanted), sets(name, ...actual));
    expect(problems.map(({grave}) => grave)).toEqual(isGrave === null ? [] : [isGrave]);
  });
});

describe('node.agent', () => {
  const capture = {inForce: true, unplaced: [], drifts: 0, lastError: null};
  const ready: Readiness = {ready: true, capture};
  test.each<[string, Readiness, string, RegExp | null]>([
    ['all is well', ready, 'node', null],
    ['drains', {...ready, ready: false, draining: true}, 'node', /drains/],
    ['captures nobody', {...ready, capture: 'none'}, 'none', /--capture none/],
    [
      'could not put the rules in force',
      {...ready, capture: {...capture, inForce: false, lastError: 'x'}},
      'node',
      /not in force: x/,
    ],
    ['others change the rules', {...ready, capture: {...capture, drifts: 3}}, 'node', /3 times/],
    ['can sign nothing', {...ready, ca: 'waiting for the controller'}, 'node', /sign no certificate: waiting/],
    [
      'hears nothing of the cluster',
      {...ready, cluster: {synced: true, away: {Pod: 'ECONNREFUSED'}}},
      'node',
      /does not tell Pod \(ECONNREFUSED\): the last state/,
    ],
    [
      'cannot remember',
      {...ready, capture: {...capture, stateError: '--state-dir cannot be written'}},
      'node',
      /--state-dir cannot be written/,
    ],
    ['a pod has no route', {...ready, capture: {...capture, unplaced: ['10.0.0.9']}}, 'node', /10\.0\.0\.9/],
    ['the table could not be read', {...ready, workloads: {lastLoad: 'bad'}}, 'node', /workload table: bad/],
    [
      'a Secret is missing',
      {...ready, missingRefs: [{proxy: 'corp', message: 'gone'}]},
      'node',
      /corp cannot be used: gone/,
    ],
  ])('%s', (_, readiness, mode, found) => {
    const text = problemsOf(readiness, mode)
      .map((one) => one.found)
      .join();
    if (found === null) expect(text).toBe('');
    else expect(text).toMatch(found);
  });
});

describe('node.ca', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-doctor-ca-'));
    publishTrust({dir, ca: openCa({dir}), extra: []});
  });
  afterEach(() => rmSync(dir, {recursive: true}));
  const YEAR_MS = 365 * 86_400_000;

  test('one that was just made has no problem', () => expect(caProblems(dir, Date.now())).toEqual([]));
  test('an intermediate that nobody renewed is told before it ends, and fails after', () => {
    expect(caProblems(dir, Date.now() + YEAR_MS - 10 * 86_400_000)).toMatchObject([
      {grave: false, found: expect.stringMatching(/intermediate\.crt ends at/)},
    ]);
    expect(() => caProblems(dir, Date.now() + 2 * YEAR_MS)).toThrow(/expired/);
  });
  test('a clock before the certificates', () => {
    expect(() => caProblems(dir, Date.now() - YEAR_MS)).toThrow(/not valid before/);
  });
  test('a bundle without the root: pods reject every leaf', () => {
    writeFileSync(join(dir, 'ca.crt'), readFileSync(join(dir, 'intermediate.crt')));
    expect(caProblems(dir, Date.now())).toMatchObject([
      {grave: true, found: expect.stringMatching(/ca\.crt does not hold the root/)},
    ]);
  });
  test("a node's of the cluster: whole, near its end, readable by others, awaited", () => {
    const at = (name: string): string => readFileSync(join(dir, name), 'utf8');
    const node = join(dir, 'node-ca.pem');
    writeFileSync(node, at('intermediate.key') + at('intermediate.crt') + at('root.crt'), {mode: 0o600});
    for (const name of ['intermediate.key', 'intermediate.crt', 'root.key', 'root.crt']) rmSync(join(dir, name));
    expect(caProblems(dir, Date.now())).toEqual([]);
    expect(caProblems(dir, Date.now() + YEAR_MS - 10 * 86_400_000)).toMatchObject([{grave: false}]);
    chmodSync(node, 0o644);
    expect(() => caProblems(dir, Date.now())).toThrow(/node-ca\.pem can be read by others/);
    rmSync(node);
    expect(() => caProblems(dir, Date.now())).toThrow(/holds no CA: nothing can be inspected/);
  });
  test('a key that others can read', () => {
    chmodSync(join(dir, 'intermediate.key'), 0o640);
    expect(() => caProblems(dir, Date.now())).toThrow(/can be read by others/);
  });
});

describe('cluster.clock', () => {
  const AT = 1_000_000_000;
  test.each([
    ['the second that it is in', AT, AT, 'ok'],
    ['a request that took long', AT, AT + 9_000, 'ok'],
    ['a minute and a half behind', AT + 90_000, AT + 90_000, 'warn'],
    ['ahead by ten minutes', AT - 600_000, AT - 600_000, 'fail'],
  ])('%s', (_, before, after, kind) => {
    expect(skewed(AT, before, after).kind).toBe(kind);
  });
});

describe('cluster.policies', () => {
  const object = (conditions: object[], generation = 1) => ({
    metadata: {name: 'p', generation},
    status: {conditions: conditions as never[]},
  });
  const condition = (status: string, more: object = {}) => ({
    type: 'Accepted',
    status,
    reason: 'R',
    message: 'm',
    ...more,
  });
  test.each<[string, ReturnType<typeof object>, boolean | null]>([
    ['True', object([condition('True', {observedGeneration: 1})]), null],
    ['False is grave', object([condition('False')]), true],
    ['Unknown is not proved', object([condition('Unknown')]), false],
    ['nobody wrote it', object([]), false],
    ['it was written of an older version', object([condition('True', {observedGeneration: 1})], 2), false],
  ])('%s', (_, it, isGrave) => {
    expect(conditionProblems('EgressPolicy p', it, ['Accepted']).map(({grave}) => grave)).toEqual(
      isGrave === null ? [] : [isGrave],
    );
  });
});
