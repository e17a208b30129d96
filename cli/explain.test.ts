import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {explain} from './explain.ts';

const POLICY = `
apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: storage-only, namespace: default}
spec:
  podSelector: {matchLabels: {app: debian-app}}
  rules:
  - name: assets
    to: {hosts: [storage.test], schemes: [https, http]}
    http: {methods: [GET], paths: ["/assets/**"]}
  - {name: sealed, to: {hosts: [sealed.test], schemes: [tls]}}
  - {name: database, to: {cidrs: [203.0.113.0/24], schemes: [tcp], ports: [5432]}}
  - {name: wiki, to: {hosts: [wiki.svc.cluster.local], schemes: [http]}}
  deny: {status: 418, body: no}
`;
const DECISION = {
  time: '2026-01-02T03:04:05Z',
  event: 'egress.decision',
  id: 'q1w2e3r4t5y6u7i8',
  verdict: 'deny',
  reason: 'RuleDenied',
  policyNamespace: 'default',
  policy: 'web',
  rule: 'no-admin',
  wouldDeny: true,
  message: 'A Deny rule matches: web/no-admin.',
  workload: 'default/app-1',
  source: '10.0.0.7:40000',
  destination: '203.0.113.9:443',
  scheme: 'https',
  name: 'a.test',
  method: 'GET',
  path: '/admin\u001b[31m',
};

let dir = '';
let policy = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'sp-explain-'));
  policy = join(dir, 'policy.yaml');
  writeFileSync(policy, POLICY);
  writeFileSync(
    join(dir, 'workloads.yaml'),
    '- {ips: [10.0.0.7], namespace: default, name: app-1, uid: u, labels: {app: debian-app}, serviceAccount: default, trustsCa: true}\n',
  );
  writeFileSync(join(dir, 'bad.yaml'), POLICY.replace('hosts:', 'host:'));
  const flow = {...DECISION, event: 'egress.flow', status: 403, ms: 1.5, upstream: null, failure: null};
  const other = {...DECISION, id: 'other'};
  writeFileSync(
    join(dir, 'log'),
    ['not json q1w2e3r4t5y6u7i8', ...[other, DECISION, flow].map((one) => JSON.stringify(one))].join('\n'),
  );
});
afterAll(() => rmSync(dir, {recursive: true, force: true}));

async function run(...argv: string[]): Promise<{code: number; out: string; err: string}> {
  let out = '';
  let err = '';
  const code = await explain(argv, {stdout: (text) => void (out += text), stderr: (text) => void (err += text)}, () =>
    JSON.stringify(DECISION),
  );
  return {code, out, err};
}
const asked = (...argv: string[]) => run('--policy', policy, '--labels', 'app=debian-app', ...argv);

describe('sallyport explain URL', () => {
  test.each<[string, string[], number, string]>([
    ['what passes', ['https://storage.test/assets/x'], 0, 'ALLOWED  RuleAllowed'],
    ['the rule written out', ['https://storage.test/assets/x'], 0, 'schemes:   https on 443; http on 80'],
    ['that the address is assumed', ['https://storage.test/assets/x'], 0, 'assumed to have a public address'],
    ['what does not pass', ['--method', 'PUT', 'https://storage.test/assets/x'], 1, 'methods are GET, this is PUT'],
    ['its status', ['https://other.test/'], 1, 'The client gets status 418.'],
    [
      'an address that is not opened',
      ['--address', '10.0.0.1', 'https://storage.test/assets/x'],
      1,
      'DENIED  DestinationForbidden',
    ],
    ['the path as written', ['https://storage.test/assets/..%2fx'], 1, 'DENIED  AmbiguousPath'],
    ['a Host that disagrees', ['--host', 'other.test', 'https://storage.test/assets/x'], 1, 'DENIED  HostMismatch'],
    ['a header', ['--header', 'X-HTTP-Method: PUT', 'http://storage.test/assets/x'], 1, 'DENIED  AmbiguousPath'],
    ['an upgrade', ['--header', 'Upgrade: h2c', 'http://storage.test/assets/x'], 1, 'DENIED  UnsupportedProtocol'],
    ['tls', ['tls://sealed.test'], 0, 'ALLOWED  RuleAllowed'],
    ['tcp', ['tcp://203.0.113.7:5432'], 0, 'ALLOWED  RuleAllowed'],
    ['the explicit port', ['--via', 'explicit', 'http://storage.test/assets/x'], 0, 'ALLOWED  RuleAllowed'],
    [
      'a name of the cluster',
      ['--service-cidr', '10.96.0.0/12', '--address', '10.96.0.9', 'http://wiki.svc.cluster.local/'],
      0,
      'ALLOWED  RuleAllowed',
    ],
    ['another namespace', ['--namespace', 'other', 'https://storage.test/'], 1, 'No policy selects this workload.'],
    [
      'the default of the installation',
      ['--namespace', 'other', '--default-action', 'Allow', 'https://storage.test/'],
      0,
      'ALLOWED  DefaultAllowed',
    ],
  ])('tells %s', async (_, argv, code, words) => {
    const result = await asked(...argv);
    expect(result.out).toContain(words);
    expect(result.code).toBe(code);
  });
  test('takes the workload from the table', async () => {
    const result = await run(
      '--policy',
      policy,
      '--workloads',
      join(dir, 'workloads.yaml'),
      '--workload',
      'default/app-1',
      'https://storage.test/assets/x',
    );
    expect(result).toMatchObject({code: 0, out: expect.stringContaining('ALLOWED')});
  });
  test('-o json has the decision, the rule and the candidates', async () => {
    const {out} = await asked('-o', 'json', '--method', 'PUT', 'https://storage.test/assets/x');
    expect(JSON.parse(out)).toMatchObject({
      answer: {verdict: 'deny', reason: 'NoRuleMatched'},
      near: [
        {rule: 'assets', why: 'methods are GET, this is PUT'},
        {rule: 'database', why: 'schemes are tcp, this is https'},
      ],
      addressesAssumed: true,
    });
  });
  test.each<[string, string[], RegExp]>([
    ['an unknown flag', ['--polcy', 'x', 'https://a.test/'], /--polcy/],
    ['no policy', ['--labels', '', 'https://a.test/'], /--policy is missing/],
    ['nobody asks', ['--policy', 'POLICY', 'https://a.test/'], /nobody asks/],
    ['nothing to explain', ['--policy', 'POLICY', '--labels', ''], /nothing to explain/],
    ['no URL', ['--policy', 'POLICY', '--labels', '', 'abc'], /no URL/],
    ['another scheme', ['--policy', 'POLICY', '--labels', '', 'ftp://a.test/'], /no URL of https/],
    ['tcp without a port', ['--policy', 'POLICY', '--labels', '', 'tcp://a.test'], /no default port/],
    [
      'an address that is none',
      ['--policy', 'POLICY', '--labels', '', '--address', 'x', 'https://a.test/'],
      /no IP address/,
    ],
    ['a label that is none', ['--policy', 'POLICY', '--labels', 'app', 'https://a.test/'], /no label/],
    ['a header that is none', ['--policy', 'POLICY', '--labels', '', '--header', 'x', 'https://a.test/'], /no header/],
    ['a workload without the table', ['--policy', 'POLICY', '--workload', 'a/b', 'https://a.test/'], /needs the table/],
    [
      'a workload that is not in it',
      ['--policy', 'POLICY', '--workload', 'a/b', '--workloads', 'WORKLOADS', 'https://a.test/'],
      /a\/b is not in/,
    ],
    ['a policy with errors', ['--policy', 'BAD', '--labels', '', 'https://a.test/'], /the policy has errors/],
    ['a policy that is not there', ['--policy', '/nowhere', '--labels', '', 'https://a.test/'], /--policy \/nowhere/],
    ['a log that is not there', ['abc', '--log', '/nowhere'], /--log \/nowhere/],
  ])('refuses %s, with a fix', async (_, argv, message) => {
    const places: Record<string, string> = {
      POLICY: policy,
      BAD: join(dir, 'bad.yaml'),
      WORKLOADS: join(dir, 'workloads.yaml'),
    };
    await expect(run(...argv.map((one) => places[one] ?? one))).rejects.toMatchObject({
      message: expect.stringMatching(message),
    });
  });
});

describe('sallyport explain ID', () => {
  test('tells what happened and what to do, with nothing of the client printed raw', async () => {
    const {code, out} = await run(DECISION.id, '--log', join(dir, 'log'));
    expect(code).toBe(0);
    for (const words of [
      'DENIED  RuleDenied',
      'default/app-1',
      'https GET a.test/admin',
      'policy default/web, rule no-admin',
      'status 403',
      'A Deny rule forbids this',
    ])
      expect(out).toContain(words);
    expect(out).not.toContain('\u001b');
  });
  test('from standard input', async () => {
    expect((await run(DECISION.id, '--log', '-')).out).toContain('DENIED');
  });
  test('-o json', async () => {
    const {out} = await run(DECISION.id, '--log', join(dir, 'log'), '-o', 'json');
    expect(JSON.parse(out)).toMatchObject({id: DECISION.id, decision: {reason: 'RuleDenied'}, flows: [{status: 403}]});
  });
  test('an id that the log does not have', async () => {
    expect(await run('zzzz', '--log', join(dir, 'log'))).toMatchObject({code: 1, err: expect.stringContaining('zzzz')});
  });
});
