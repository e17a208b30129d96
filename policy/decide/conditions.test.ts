import {expect, test} from '@jest/globals';
import type {CompiledRule} from '../compile-rule.ts';
import {compileCondition} from '../cel/compile.ts';
import type {EgressRequest, Workload} from '../request.ts';
import {matchesWhen, View} from './conditions.ts';
import {readSubject} from './subject.ts';

const APP: Workload = {
  namespace: 'default',
  namespaceLabels: {},
  name: 'app-1',
  uid: 'uid-1',
  labels: {},
  serviceAccount: 'default',
  node: null,
  trustsCa: true,
};

function viewOf(headers: readonly string[]): View {
  const request: EgressRequest = {
    id: 'id-1',
    arrived: 'captured',
    workload: APP,
    source: {ip: '10.244.0.5', port: 40000},
    destination: {ip: '203.0.113.9', port: 80, host: null},
    connectAuthority: null,
    canInspect: true,
    traffic: {
      kind: 'http',
      http: {
        version: '1.1',
        method: 'GET',
        scheme: null,
        authority: null,
        host: 'a.test',
        path: '/a',
        query: null,
        upgrade: [],
        headers,
      },
    },
  };
  const subject = readSubject(request);
  if ('refused' in subject) throw new Error(subject.message);
  return new View(request, APP, subject, false);
}

function ruleOf(action: 'Allow' | 'Deny', when: string): CompiledRule {
  const compiled = compileCondition(when, {sees: 'request'});
  if (!compiled.ok) throw new Error(compiled.message);
  return {action, when: compiled.condition} as CompiledRule;
}

/** Seven headers of two lines each: 3^7 ways to read the lines of each one joined or alone. */
const REPEATED = Array.from({length: 7}, (_, i) => [`x-${i}`, 'a', `x-${i}`, 'b']).flat();

test.each([
  ['Deny', true],
  ['Allow', true],
] as const)('a request with more readings than are judged: a %s on its headers holds: %s', (action, expected) => {
  // An Allow reads the joined lines only, so it never has too many by them.
  const never = ruleOf(
    action,
    action === 'Deny' ? 'request.headers["x-0"] == "no"' : 'request.headers["x-0"] == "a, b"',
  );
  expect(matchesWhen(never, viewOf(REPEATED), null)).toBe(expected);
});

test('an Allow with too many readings of method and path matches nothing', () => {
  const overrides = Array.from({length: 20}, (_, i) => ['X-HTTP-Method-Override', `M${i}`]).flat();
  const queries = Array.from({length: 20}, (_, i) => ['X-Original-URL', `/a?q=${i}`]).flat();
  const view = viewOf([...overrides, ...queries]);
  expect(matchesWhen(ruleOf('Allow', 'request.path != "/b"'), view, null)).toBe(false);
  expect(matchesWhen(ruleOf('Deny', 'request.path == "/b"'), view, null)).toBe(true);
});
