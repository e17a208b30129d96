import {describe, expect, test} from '@jest/globals';
import {decided, line, policies, PUBLIC, type Asking} from '../testing/asking.ts';

const SET = policies(`
  - {name: public, to: {hosts: [api.test], schemes: [http]}, http: {paths: ["/public/**", "/v1/*"]}}
  - {name: fenced, to: {hosts: [fenced.test], schemes: [http]}}
  - {name: fence, action: Deny, to: {hosts: [fenced.test]}, http: {paths: ["/private/**", "/a:b"]}}
  - {name: no-delete, action: Deny, to: {hosts: [fenced.test]}, http: {methods: [DELETE]}}
  - {name: reads, to: {hosts: [reads.test], schemes: [http]}, http: {methods: [GET, HEAD], paths: ["/**"]}}
  - {name: team, to: {hosts: [team.test], schemes: [http]}, http: {headers: {x-team: "assets*", x-debug: null}}}
  - {name: no-canary, action: Deny, to: {hosts: [team.test]}, http: {headers: {x-env: "canary*"}}}
  - {name: list, to: {hosts: [list.test], schemes: [http]}, http: {query: {prefix: "pub*", debug: null}}}
  - {name: no-acl, action: Deny, to: {hosts: [list.test]}, http: {query: {acl: "public*"}}}
  - {name: traced, to: {hosts: [cel.test], schemes: [http]}, when: 'request.headers["x-trace"] != ""'}
  - {name: no-prod, action: Deny, to: {hosts: [cel.test]}, when: '"x-env" in request.headers && request.headers["x-env"] == "prod"'}
  - {name: no-path, action: Deny, to: {hosts: [cel.test]}, when: 'request.path.startsWith("/secret/")'}
  - {name: mutates, to: {hosts: [mut.test], schemes: [http]}, request: {set: {x-a: "1"}}, response: {remove: [x-b]}}
`);
const zone = Object.fromEntries(
  ['api', 'fenced', 'reads', 'team', 'list', 'cel', 'mut'].map((name) => [`${name}.test`, [PUBLIC]]),
);
const ALLOW = (rule: string) => `allow RuleAllowed p/${rule}`;
const AMBIGUOUS = 'deny AmbiguousPath -';
const NONE = 'deny NoRuleMatched -';

describe('paths, in every reading', () => {
  test.each<[string, string, string]>([
    ['plain', 'http://api.test/public/a', ALLOW('public')],
    ['a needed escape', 'http://api.test/public/a%20b', ALLOW('public')],
    ['an escaped letter is the letter', 'http://api.test/%70ublic/a', ALLOW('public')],
    ['every reading stays inside', 'http://api.test/public/group%2Fname', ALLOW('public')],
    ['an encoded slash and dots leave', 'http://api.test/public/..%2fprivate', AMBIGUOUS],
    ['dots leave', 'http://api.test/public/../private', AMBIGUOUS],
    ['encoded dots leave', 'http://api.test/public/%2e%2E/private', AMBIGUOUS],
    ['dots behind parameters leave', 'http://api.test/public/..;/private', AMBIGUOUS],
    ['a backslash is a slash to some', 'http://api.test/public/..\\private', AMBIGUOUS],
    ['an encoded backslash', 'http://api.test/public/..%5cprivate', AMBIGUOUS],
    ['decoded twice', 'http://api.test/public/%252e%252e%252fprivate', AMBIGUOUS],
    ['one segment or two', 'http://api.test/v1/a%2Fb', AMBIGUOUS],
    ['the literal reading does not pass either', 'http://api.test/private/..%2fpublic/x', NONE],
    ['paths have letter case', 'http://api.test/PUBLIC/a', NONE],
    ['a Deny, plain', 'http://fenced.test/private/x', 'deny RuleDenied p/fence'],
    ['a Deny, in other letters', 'http://fenced.test/Private/x', 'deny RuleDenied p/fence'],
    ['a Deny, two slashes', 'http://fenced.test//private/x', AMBIGUOUS],
    ['a Deny, parameters', 'http://fenced.test/private;v=1/x', AMBIGUOUS],
    ['a Deny, an encoded slash', 'http://fenced.test/private%2fx', AMBIGUOUS],
    ['a Deny, an escaped reserved character', 'http://fenced.test/a%3Ab', AMBIGUOUS],
    ['a Deny, both at once: letters and readings', 'http://fenced.test//PRIVATE/x', AMBIGUOUS],
    ['no reading is denied', 'http://fenced.test/public;v=1//x%2Fy', ALLOW('fenced')],
  ])('%s', (_, url, expected) => {
    expect(line(decided(SET, {url, zone}))).toBe(expected);
  });
});

describe('headers that override method or path', () => {
  test.each<[string, Asking, string]>([
    [
      'to a denied method',
      {url: 'http://fenced.test/', method: 'POST', headers: [['X-HTTP-Method-Override', 'delete']]},
      AMBIGUOUS,
    ],
    [
      'by another name',
      {url: 'http://fenced.test/', method: 'POST', headers: [['x-http-method', 'DELETE']]},
      AMBIGUOUS,
    ],
    ['by a third', {url: 'http://fenced.test/', method: 'POST', headers: [['x-method-override', 'DELETE']]}, AMBIGUOUS],
    [
      'does not hide the method itself',
      {url: 'http://fenced.test/', method: 'DELETE', headers: [['x-http-method', 'GET']]},
      'deny RuleDenied p/no-delete',
    ],
    [
      'to a method that the Allow does not name',
      {url: 'http://reads.test/', headers: [['x-http-method', 'PUT']]},
      AMBIGUOUS,
    ],
    ['to one that it does', {url: 'http://reads.test/', headers: [['x-http-method', 'head']]}, ALLOW('reads')],
    [
      'makes no allowed method of another',
      {url: 'http://reads.test/', method: 'PUT', headers: [['x-http-method', 'GET']]},
      NONE,
    ],
    ['to a denied path', {url: 'http://fenced.test/', headers: [['X-Original-URL', '/private/x']]}, AMBIGUOUS],
    [
      'to a denied path with a reading of its own',
      {url: 'http://fenced.test/', headers: [['X-Rewrite-URL', '/x/..%2fprivate/x']]},
      AMBIGUOUS,
    ],
    [
      'to a denied path by a whole URL',
      {url: 'http://fenced.test/', headers: [['X-Rewrite-URL', 'http://h/private/x']]},
      AMBIGUOUS,
    ],
    [
      'to a denied path without its slash',
      {url: 'http://fenced.test/', headers: [['X-Rewrite-URL', 'private/x']]},
      AMBIGUOUS,
    ],
    [
      'to a denied query',
      {url: 'http://list.test/?prefix=public', headers: [['X-Rewrite-URL', '/?prefix=public&acl=public']]},
      AMBIGUOUS,
    ],
  ])('%s', (_, asking, expected) => {
    expect(line(decided(SET, {zone, ...asking}))).toBe(expected);
  });
});

describe('headers and query', () => {
  test.each<[string, Asking, string]>([
    ['a value that matches', {url: 'http://team.test/', headers: [['X-Team', 'assets-1']]}, ALLOW('team')],
    ['the header is missing', {url: 'http://team.test/'}, NONE],
    [
      'every value must match',
      {
        url: 'http://team.test/',
        headers: [
          ['x-team', 'assets'],
          ['x-team', 'billing'],
        ],
      },
      NONE,
    ],
    [
      'a header that must be absent',
      {
        url: 'http://team.test/',
        headers: [
          ['x-team', 'assets'],
          ['x-debug', ''],
        ],
      },
      NONE,
    ],
    [
      'a Deny needs one value',
      {
        url: 'http://team.test/',
        headers: [
          ['x-team', 'assets'],
          ['x-env', 'prod'],
          ['x-env', 'canary-1'],
        ],
      },
      'deny RuleDenied p/no-canary',
    ],
    [
      'one line with a comma is one value',
      {url: 'http://team.test/', headers: [['x-team', 'assets, billing']]},
      ALLOW('team'),
    ],
    [
      'where lines may have been joined, each piece is a value',
      {url: 'http://team.test/', linesJoined: true, headers: [['x-team', 'assets, billing']]},
      AMBIGUOUS,
    ],
    [
      'and a Deny sees each piece',
      {
        url: 'http://team.test/',
        linesJoined: true,
        headers: [
          ['x-team', 'assets'],
          ['x-env', 'prod,canary'],
        ],
      },
      AMBIGUOUS,
    ],
    ['a parameter that matches', {url: 'http://list.test/?prefix=public'}, ALLOW('list')],
    ['its letters escaped', {url: 'http://list.test/?pre%66ix=%70ub'}, ALLOW('list')],
    ['a parameter that must be absent', {url: 'http://list.test/?prefix=public&debug'}, NONE],
    ['another value of the same', {url: 'http://list.test/?prefix=public&prefix=x'}, NONE],
    ['a semicolon parts parameters in one reading', {url: 'http://list.test/?prefix=public;prefix=x'}, AMBIGUOUS],
    ['and for a Deny', {url: 'http://list.test/?prefix=public;acl=public'}, AMBIGUOUS],
    ['an escaped semicolon does not', {url: 'http://list.test/?prefix=public%3Bacl=public'}, ALLOW('list')],
    ['a plus is a space in one reading', {url: 'http://list.test/?prefix=public&a+cl=x'}, ALLOW('list')],
    ['a Deny on the only parameter', {url: 'http://list.test/?prefix=pub&acl=public'}, 'deny RuleDenied p/no-acl'],
  ])('%s', (_, asking, expected) => {
    expect(line(decided(SET, {zone, ip: PUBLIC, ...asking}))).toBe(expected);
  });
});

describe('conditions', () => {
  const trace = ['x-trace', 't'] as const;
  test.each<[string, Asking, string]>([
    ['it holds', {url: 'http://cel.test/', headers: [trace]}, ALLOW('traced')],
    ['a missing key is unknown, and unknown opens nothing', {url: 'http://cel.test/'}, NONE],
    [
      'a guarded Deny that holds',
      {url: 'http://cel.test/', headers: [trace, ['x-env', 'prod']]},
      'deny RuleDenied p/no-prod',
    ],
    [
      'a Deny sees each line of a repeated header alone',
      {url: 'http://cel.test/', headers: [trace, ['x-env', 'prod'], ['x-env', 'dev']]},
      AMBIGUOUS,
    ],
    ['a Deny sees every reading of the path', {url: 'http://cel.test//secret/x', headers: [trace]}, AMBIGUOUS],
    ['a Deny sees the literal path', {url: 'http://cel.test/secret/x', headers: [trace]}, 'deny RuleDenied p/no-path'],
  ])('%s', (_, asking, expected) => {
    expect(line(decided(SET, {zone, ...asking}))).toBe(expected);
  });
});

test('the rule that allows supplies the mutations, a refusal none', () => {
  expect(decided(SET, {url: 'http://mut.test/', zone})).toMatchObject({
    requestMutations: {set: {'x-a': '1'}},
    responseMutations: {remove: ['x-b']},
  });
  expect(decided(SET, {url: 'http://other.test/', zone}).requestMutations).toEqual({set: {}, add: {}, remove: []});
});
