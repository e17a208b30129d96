import {describe, expect, test} from '@jest/globals';
import {compare, globMatches, problems} from './compare.ts';
import type {Expectation} from './format/case.ts';
import {NOTHING_OBSERVED, type Answer, type Observation, type Sighting} from './observation.ts';

const NETWORK = {network: true};
const PURE = {network: false};

const response = (status: number, headers: Record<string, string[]> = {}, body = ''): Answer => ({
  kind: 'response',
  status,
  headers: new Map(Object.entries(headers)),
  body,
});
const sighting = (server: string, more: Partial<Sighting> = {}): Sighting => ({
  server,
  how: 'request',
  parent: false,
  passedOn: false,
  carriedBy: null,
  method: 'GET',
  target: '/',
  headers: new Map(),
  ...more,
});
const seen = (more: Partial<Observation>): Observation => ({...NOTHING_OBSERVED, sightings: [], ...more});
const decision = {verdict: 'deny', reason: 'NoRuleMatched', rule: null, wouldDeny: true} as const;
const fails = (expectation: Expectation, observation: Observation, scope = NETWORK): string =>
  problems(compare(expectation, observation, scope)).join('\n');

describe('reached', () => {
  test.each<[string, Expectation, Sighting[], boolean]>([
    ['null, and nobody saw anything', {reached: null}, [], true],
    ['null, and a server saw a request', {reached: null}, [sighting('a')], false],
    ['null, and a server saw stray bytes', {reached: null}, [sighting('a', {how: 'bytes'})], false],
    [
      'null, and a parent saw only a CONNECT',
      {reached: null},
      [sighting('p', {how: 'connect', parent: true, passedOn: true})],
      true,
    ],
    [
      'null, and a parent saw a request that it passed on',
      {reached: null},
      [sighting('p', {parent: true, passedOn: true})],
      false,
    ],
    ['null, and a parent saw a request that it refused', {reached: null}, [sighting('p', {parent: true})], false],
    ['a, and a saw it', {reached: 'a'}, [sighting('a')], true],
    ['a, and nobody saw it', {reached: 'a'}, [], false],
    ['a, and b saw it', {reached: 'a'}, [sighting('b')], false],
    ['a, and b saw it as well', {reached: 'a'}, [sighting('a'), sighting('b')], false],
    [
      'a, through a parent that passed it on',
      {reached: 'a'},
      [sighting('p', {parent: true, passedOn: true}), sighting('a', {carriedBy: 'p'})],
      true,
    ],
    ['not a, and b saw it', {notReached: 'a'}, [sighting('b')], true],
    ['not a, and a saw bytes', {notReached: 'a'}, [sighting('a', {how: 'bytes'})], false],
  ])('%s', (_name, expectation, sightings, agrees) => {
    expect(fails(expectation, seen({sightings})) === '').toBe(agrees);
  });
});

describe('proxied', () => {
  const carried = sighting('a', {carriedBy: 'p'});
  test.each<[string, Expectation, Sighting[], boolean]>([
    ['p, and p carried it', {proxied: 'p'}, [carried], true],
    ['p, and it came directly', {proxied: 'p'}, [sighting('a')], false],
    ['p, and q carried it', {proxied: 'p'}, [sighting('a', {carriedBy: 'q'})], false],
    ['null, and it came directly', {proxied: null}, [sighting('a')], true],
    ['null, and p carried it', {proxied: null}, [carried], false],
    [
      'null, and p saw a CONNECT that it refused',
      {proxied: null},
      [sighting('p', {how: 'connect', parent: true})],
      false,
    ],
    ['null, and p saw a request that it refused', {proxied: null}, [sighting('p', {parent: true})], false],
  ])('%s', (_name, expectation, sightings, agrees) => {
    expect(fails(expectation, seen({sightings})) === '').toBe(agrees);
  });
});

describe('what the upstream saw', () => {
  const headers = new Map([
    ['x-one', ['1']],
    ['x-two', ['a', 'b']],
  ]);
  test.each<[string, NonNullable<Expectation['upstream']>, string]>([
    ['a path without its query', {path: '/p'}, ''],
    ['a path with it', {path: '/p?q=1'}, ''],
    ['another query', {path: '/p?q=2'}, 'upstream.path: expected "/p?q=2", was /p?q=1'],
    ['another method', {method: 'PUT'}, 'upstream.method: expected "PUT", was GET'],
    ['one header', {headers: {'x-one': '1'}}, ''],
    [
      'one of two values is not all of them',
      {headers: {'x-two': 'b'}},
      'upstream.headers.x-two: expected "b", was ["a","b"]',
    ],
    ['all of them, joined', {headers: {'x-two': 'a, b'}}, ''],
    ['all of them, as lines', {headers: {'x-two': ['a', 'b']}}, ''],
    ['a header that is absent', {headers: {'x-three': null}}, ''],
    ['a header that should be', {headers: {'x-one': null}}, 'upstream.headers.x-one: expected null, was ["1"]'],
  ])('%s', (_name, upstream, problem) => {
    expect(fails({upstream, reached: 'a'}, seen({sightings: [sighting('a', {target: '/p?q=1', headers})]}))).toBe(
      problem,
    );
  });
});

describe('what the client saw', () => {
  test.each<[string, Expectation, Answer, string]>([
    ['the status', {status: 200}, response(200), ''],
    ['another status', {status: 200}, response(403), 'status: expected 200, was status 403'],
    [
      'a refusal where a status is expected',
      {status: 200},
      {kind: 'refused', how: 'reset'},
      'status: expected 200, was refused (reset)',
    ],
    ['a refusal', {refused: true}, {kind: 'refused', how: 'reset'}, ''],
    ['an answer where a refusal is expected', {refused: true}, response(403), 'refused: expected true, was status 403'],
    [
      'an echo where a refusal is expected',
      {refused: true},
      {kind: 'bytes', latin1: 'hi'},
      'refused: expected true, was bytes "hi"',
    ],
    [
      'a header by its glob',
      {headers: {'content-type': 'text/plain*'}},
      response(200, {'content-type': ['text/plain; charset=utf-8']}),
      '',
    ],
    [
      'a header of which one line differs',
      {headers: {a: 'x'}},
      response(200, {a: ['x', 'y']}),
      'headers.a: expected "x", was ["x","y"]',
    ],
    [
      'a header that should be absent',
      {headers: {a: null}},
      response(200, {a: ['x']}),
      'headers.a: expected null, was ["x"]',
    ],
    ['a part of the body', {body: 'Denied'}, response(403, {}, 'Access Denied by'), ''],
    ['another body', {body: 'Denied'}, response(403, {}, 'Welcome'), 'body: expected "Denied", was Welcome'],
    [
      'a client that could not do it',
      {verdict: 'deny'},
      {kind: 'failed', why: 'no curl'},
      'the client failed: no curl',
    ],
  ])('%s', (_name, expectation, answer, problem) => {
    expect(fails(expectation, seen({answer, decision}))).toBe(problem);
  });

  test('several responses, in their order', () => {
    expect(fails({responses: [200, 421]}, seen({responses: [200, 421]}))).toBe('');
    expect(fails({responses: [200, 421]}, seen({responses: [200]}))).toContain('expected [200,421], was [200]');
  });

  test('a kept connection that was gone is a FAIL, unless that is what is expected', () => {
    const gone = seen({connectionWasClosed: true, answer: {kind: 'refused', how: 'it was closed before'}, decision});
    expect(fails({verdict: 'deny'}, gone)).toContain('closed before this step');
    expect(fails({refused: true, reached: null}, gone)).toBe('');
  });
});

describe('the decision', () => {
  test.each<[Expectation, string]>([
    [{verdict: 'deny', reason: 'NoRuleMatched', rule: null, wouldDeny: true}, ''],
    [{verdict: 'allow'}, 'verdict: expected "allow", was deny'],
    [{rule: 'p/r'}, 'rule: expected "p/r", was null'],
    [{wouldDeny: 'unknown'}, 'wouldDeny: expected "unknown", was true'],
  ])('%j', (expectation, problem) => {
    expect(fails(expectation, seen({decision}))).toBe(problem);
  });

  test('none was made', () => {
    expect(fails({verdict: 'deny'}, seen({}))).toBe('verdict: expected "deny", was no decision');
    expect(fails({rule: null}, seen({}))).toBe('rule: expected null, was no decision');
  });

  test('a change that should have been loaded, and one that should not', () => {
    expect(fails({}, seen({load: {error: 'unknown field'}}))).toBe('load: expected "loaded", was unknown field');
    expect(fails({}, seen({load: {error: null}}))).toBe('');
    expect(fails({loadError: 'field'}, seen({load: {error: 'unknown field'}}))).toBe('');
    expect(fails({loadError: 'field'}, seen({load: {error: null}}))).toBe('loadError: expected "field", was loaded');
  });
});

describe('the policy target checks only what decide knows', () => {
  const checked = (expectation: Expectation, observation: Observation): string[] =>
    compare(expectation, observation, PURE).map(({field}) => field);

  test('of an allowed request: the decision and the mutations, not the answer of a server', () => {
    const allowed = seen({
      decision: {...decision, verdict: 'allow'},
      forwarded: new Map([['x-a', ['1']]]),
      sightings: null,
    });
    expect(
      checked({verdict: 'allow', status: 200, reached: 'a', upstream: {path: '/', headers: {'x-a': '1'}}}, allowed),
    ).toEqual(['verdict', 'upstream.headers.x-a']);
  });

  test('of a denied one: its response too', () => {
    const denied = seen({decision, answer: response(403, {'content-type': ['text/plain']}, 'no'), sightings: null});
    expect(checked({status: 403, headers: {'content-type': 'text/*'}, body: 'no', reached: null}, denied)).toEqual([
      'status',
      'headers.content-type',
      'body',
    ]);
  });

  test('a step that says only 403 and reached null fails where it is allowed', () => {
    const allowed = seen({decision: {...decision, verdict: 'allow'}, sightings: null});
    expect(fails({status: 403, reached: null}, allowed, PURE)).toBe('status: expected 403, was an allowed request');
    expect(checked({status: 502, reached: null}, allowed)).toEqual([]);
  });
});

test.each([
  ['text/plain*', 'text/plain; charset=utf-8', true],
  ['a*c*e', 'abcde', true],
  ['a*c*e', 'abde', false],
  ['*', '', true],
  ['a', 'A', false],
  ['ab*ba', 'aba', false],
])('the glob %s on %j', (pattern, text, matches) => {
  expect(globMatches(pattern, text)).toBe(matches);
});
