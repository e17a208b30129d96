import {describe, expect, test} from '@jest/globals';
import {CaseError} from './cursor.ts';
import {readCase, readCases} from './read.ts';

const WORLD = `name: small
workloads: {app: {namespace: default, labels: {app: web}}}
servers: {one.test: {ports: {443: https}}, proxy.test: {ports: {3128: connect-proxy}}}
`;
const withStep = (step: string): string => `${WORLD}steps:\n- ${step}\n`;

function problemsOf(text: string, file = 'small.yaml'): readonly string[] {
  try {
    readCase(file, text);
  } catch (error) {
    if (error instanceof CaseError) return error.problems;
    throw error;
  }
  return [];
}

describe('a case is read strictly', () => {
  test.each([
    ['at the top', `${WORLD}steps: []\ncolour: red\n`, 'small.yaml:5:1: unknown field "colour"'],
    [
      'in a workload',
      WORLD.replace('namespace: default', 'nameSpace: default'),
      'workloads.app: unknown field "nameSpace"',
    ],
    [
      'in a server',
      WORLD.replace('{ports: {443: https}}', '{ports: {443: https}, cert: expired}'),
      'servers["one.test"]: unknown field "cert"'.replace('["one.test"]', '.one.test'),
    ],
    [
      'in a step',
      withStep('{name: a, request: {url: "http://one.test/"}, expects: {}, expect: {status: 200}}'),
      'unknown field "expects"',
    ],
    [
      'in a request',
      withStep('{name: a, request: {uri: "http://one.test/"}, expect: {status: 200}}'),
      'steps[0].request: unknown field "uri"',
    ],
    [
      'in what is expected',
      withStep('{name: a, request: {url: "http://one.test/"}, expect: {state: 200}}'),
      'steps[0].expect: unknown field "state"',
    ],
    [
      'in what the upstream sees',
      withStep('{name: a, request: {url: "http://one.test/"}, expect: {upstream: {body: x}}}'),
      'steps[0].expect.upstream: unknown field "body"',
    ],
    [
      'in a raw piece',
      withStep('{name: a, raw: {to: "one.test:80", send: [{wait: 1}]}, expect: {status: 200}}'),
      'steps[0].raw.send[0]: unknown field "wait"',
    ],
  ])('an unknown field %s is an error with its position', (_where, text, problem) => {
    expect(problemsOf(text).join('\n')).toContain(problem);
    expect(problemsOf(text)[0]).toMatch(/^small\.yaml:\d+:\d+: /);
  });

  test.each([
    [
      'two actions',
      '{name: a, ping: one.test, udp: {to: "one.test:53", send: x}, expect: {refused: true}}',
      'exactly one of',
    ],
    ['no action', '{name: a, expect: {status: 200}}', 'exactly one of'],
    ['nothing expected', '{name: a, ping: one.test}', 'expects nothing'],
    ['no name', '{ping: one.test, expect: {refused: true}}', 'a step has a name'],
    [
      'a workload that is not there',
      '{name: a, from: other, ping: one.test, expect: {refused: true}}',
      'no such workload',
    ],
    [
      'a server that is not there',
      '{name: a, ping: one.test, expect: {reached: two.test}}',
      '"two.test" is no server of this world',
    ],
    [
      'a parent that is not there',
      '{name: a, request: {url: "http://one.test/"}, expect: {proxied: two.test}}',
      '"two.test" is no server of this world',
    ],
    [
      'a target that nobody knows',
      '{name: a, targets: [nginx], ping: one.test, expect: {refused: true}}',
      '"nginx" is none of',
    ],
    [
      'a reason out of the closed set',
      '{name: a, request: {url: "http://one.test/"}, expect: {reason: BecauseISaySo}}',
      '"BecauseISaySo" is none of',
    ],
    [
      'a rule without its policy',
      '{name: a, request: {url: "http://one.test/"}, expect: {rule: one}}',
      'write policy/rule',
    ],
    [
      'a URL that is none',
      '{name: a, request: {url: "ftp://one.test/"}, expect: {status: 200}}',
      'no http:// or https:// URL',
    ],
    [
      'a connectTo that is a name',
      '{name: a, request: {url: "http://one.test/", connectTo: "one.test:80"}, expect: {status: 200}}',
      'an address and a port',
    ],
    ['bytes above Latin-1', '{name: a, raw: {to: "one.test:80", send: ["\\u20ac"]}, expect: {status: 200}}', 'Latin-1'],
    [
      'a body twice',
      '{name: a, request: {url: "http://one.test/", body: x, bodyBytes: 1}, expect: {status: 200}}',
      'write one of them',
    ],
    ['a status of a ping', '{name: a, ping: one.test, expect: {status: 200}}', 'no HTTP response'],
    ['a status of a change', '{name: a, apply: [], expect: {status: 200}}', 'only expect loadError'],
    [
      'responses of a request',
      '{name: a, request: {url: "http://one.test/"}, expect: {responses: [200]}}',
      'only a raw step',
    ],
    [
      'a refusal with a status',
      '{name: a, request: {url: "http://one.test/"}, expect: {refused: true, status: 403}}',
      'leave out status',
    ],
  ])('%s is an error', (_what, step, problem) => {
    expect(problemsOf(withStep(step)).join('\n')).toContain(problem);
  });

  test('the name is the name of the file, so that a report says where to look', () => {
    expect(problemsOf(withStep('{name: a, ping: one.test, expect: {refused: true}}'), 'other.yaml')).toEqual([
      'other.yaml:1:7: name: the name of a case is the file\'s: write "other"',
    ]);
  });

  test('every problem is told at once', () => {
    expect(problemsOf(`${WORLD}colour: red\nsteps:\n- {name: a}\n`)).toHaveLength(3);
  });

  test('bad YAML is an error with its position', () => {
    expect(problemsOf('name: [a\n')[0]).toMatch(/^small\.yaml:\d+:\d+: /);
    expect(problemsOf('name: small\nname: small\n')[0]).toContain('small.yaml:2:1: Map keys must be unique');
  });
});

describe('what a case means', () => {
  test('the first workload tries a step that names none, and trusts our CA unless it says otherwise', () => {
    const world = readCase('small.yaml', withStep('{name: a, ping: one.test, expect: {refused: true}}'));
    expect(world.steps[0]!.workload).toMatchObject({name: 'app', serviceAccount: 'default', trustsCa: true});
  });

  test('a URL keeps its path and query as they were written', () => {
    const world = readCase(
      'small.yaml',
      withStep('{name: a, request: {url: "https://One.test:8443/a/../%2e?x=1&&y"}, expect: {status: 200}}'),
    );
    expect(world.steps[0]!.action).toMatchObject({
      url: {host: 'One.test', port: 8443, authority: 'One.test:8443', path: '/a/../%2e', query: 'x=1&&y'},
      pathAsIs: true,
      via: 'captured',
      http: '1.1',
    });
  });

  test('policyFiles are documents like those written in place, several to a file', () => {
    const text = withStep('{name: a, ping: one.test, expect: {refused: true}}').replace(
      'steps:',
      'policies: [{kind: A}]\npolicyFiles: [more.yaml]\nsteps:',
    );
    const world = readCase('small.yaml', text, () => 'kind: B\n---\nkind: C\n');
    expect(world.documents.map(({kind}) => kind)).toEqual(['A', 'B', 'C']);
  });

  test('a policy file that is not there is an error of the line that names it', () => {
    const text = withStep('{name: a, ping: one.test, expect: {refused: true}}').replace(
      'steps:',
      'policyFiles: [gone.yaml]\nsteps:',
    );
    expect(problemsOf(text)[0]).toMatch(/^small\.yaml:4:15: policyFiles\[0\]: ENOENT/);
  });

  test('header values may be numbers, lists and repeated', () => {
    const world = readCase(
      'small.yaml',
      withStep(
        '{name: a, request: {url: "http://one.test/", headers: {x-a: 1, X-B: [a, b]}}, expect: {status: 200, upstream: {headers: {X-B: [a, b], x-c: null}}}}',
      ),
    );
    expect(world.steps[0]!.action).toMatchObject({
      headers: [
        {name: 'x-a', values: ['1']},
        {name: 'X-B', values: ['a', 'b']},
      ],
    });
    expect(world.steps[0]!.expect.upstream).toEqual({headers: {'x-b': ['a', 'b'], 'x-c': null}});
  });

  test('every case that is checked in can be read', () => {
    expect(readCases([`${import.meta.dirname}/../cases`]).length).toBeGreaterThanOrEqual(24);
  });
});
