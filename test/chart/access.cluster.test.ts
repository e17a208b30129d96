/** What each role may do: enough to run, as its own service account, and no more. */
import {X509Certificate} from 'node:crypto';
import {request} from 'node:https';
import {join} from 'node:path';
import {afterAll, afterEach, beforeAll, describe, expect} from '@jest/globals';
import {certificateRequest, newKey} from '../../pki/index.ts';
import {freePorts} from '../cluster/ports.ts';
import {makeAuthority, makeCertificate} from '../cluster/certificates.ts';
import {startControlPlane, type ControlPlane, type Ran} from '../cluster/control-plane.ts';
import {clusterTest} from '../cluster/require.ts';
import {startRole, type LogLine, type Role} from '../cluster/role.ts';
import {CHART, EVERYTHING, find, helm, NAMESPACE, rendered, withValues} from './helm.ts';
import {kubeconfigOfAccount} from './service-account.ts';
import {found as until, until as seen} from '../waiting.ts';

const LONG_MS = 90_000;
const NODE = 'worker-1';
/** Where the agent really runs. */
const RUNNING = 'worker-3';

let cluster: ControlPlane;
beforeAll(async () => {
  cluster = await startControlPlane();
  const {status, stderr} = withValues(EVERYTHING, (file) =>
    helm(['install', 'sallyport', CHART, '-n', NAMESPACE, '--create-namespace', '-f', file], cluster.kubeconfig),
  );
  expect([status, stderr]).toEqual([0, '']);
  for (const name of [NODE, 'worker-2', RUNNING])
    apply({apiVersion: 'v1', kind: 'Node', metadata: {name}, spec: {taints: [taint, {...taint, key: 'other'}]}});
  apply({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {name: 'team', labels: {'sallyport.dev/injection': 'enabled'}},
  });
  apply({apiVersion: 'v1', kind: 'Secret', metadata: {name: 'theirs', namespace: 'team'}});
  const login = {username: 'sallyport', password: 'secret'};
  const credentials = {name: 'squid-credentials', namespace: NAMESPACE};
  apply({apiVersion: 'v1', kind: 'Secret', metadata: credentials, stringData: login});
  apply({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressPolicy',
    metadata: {name: 'p', namespace: 'team'},
    spec: {podSelector: {}, rules: [{name: 'r', to: {hosts: ['a.test']}}]},
  });
}, 240_000);
afterAll(() => cluster?.stop());

const taint = {key: 'sallyport.dev/agent-not-ready', effect: 'NoSchedule'};
const apply = (object: object): void =>
  expect(cluster.kubectl(['apply', '-f', '-'], JSON.stringify(object))).toMatchObject({status: 0});

const running: Role[] = [];
afterEach(async () => {
  for (const role of running.splice(0)) await role.stop();
}, LONG_MS);

function started(account: string, argv: readonly string[], node?: string): Role {
  const role = startRole([
    ...argv,
    '--kubeconfig',
    kubeconfigOfAccount(cluster, account, node),
    '--admin',
    '127.0.0.1:0',
  ]);
  running.push(role);
  return role;
}

/** A role's arguments of the chart, but for what is a file or a port of this machine. */
function argsOf(kind: string, name: string): string[] {
  const [role, ...args] = find(rendered(EVERYTHING), kind, name)['spec'].template.spec.containers[0].args as string[];
  const ours =
    /^--(mtls$|mtls-[a-z-]+=|(admin|listen|explicit|capture|resolver|log-format|tls-[a-z]+|client-ca|[a-z]+-dir|config|issuer)=)/;
  return [role!, ...args.filter((arg) => !ours.test(arg))];
}

const lead = (identity: string): Role =>
  started('sallyport-controller', [
    ...argsOf('Deployment', 'sallyport-controller'),
    ...['--identity', identity, '--issuer', '127.0.0.1:0'],
  ]);

const event =
  (name: string, text = '') =>
  (line: LogLine): boolean =>
    line.event === name && line.message.includes(text);
const forbidden = (role: Role): string[] =>
  role.lines
    .map(({message}) => message ?? '')
    .filter((message) => /forbidden|\b403\b|cannot (get|list|watch|create|patch|update|delete)/i.test(message));
const field = (argv: readonly string[], path: string): string =>
  cluster.kubectl(['get', ...argv, '-o', `jsonpath=${path}`]).stdout;

describe('with the rights of its own service account', () => {
  clusterTest('helm')(
    'the controller leads, keeps CA, certificates, caBundle, bundles and conditions',
    async () => {
      const controller = lead('one');
      await controller.logged(event('trust.applied', 'team'));
      await controller.logged(event('status.written', 'EgressPolicy team/p: Accepted=True'));
      expect(field(['secret', '-n', NAMESPACE, 'sallyport-ca'], '{.data.root\\.crt}')).not.toBe('');
      for (const kind of ['mutatingwebhookconfiguration', 'validatingwebhookconfiguration'])
        await until(() => {
          const bundles = field([kind, 'sallyport'], '{.webhooks[*].clientConfig.caBundle}').split(' ');
          return bundles.length === 3 && bundles.every((bundle) => bundle !== '');
        });
      await until(() => field(['secret', '-n', NAMESPACE, 'sallyport-injector-tls'], '{.data.tls\\.crt}') !== '');
      expect(forbidden(controller)).toEqual([]);
    },
    LONG_MS,
  );

  clusterTest('helm')(
    'it makes the certificate of its issuer and the CA of workloads, and may ask whose a token is',
    async () => {
      const controller = lead('issuer');
      const {message} = await controller.logged(event('issuer.listening'));
      const status = await new Promise<number>((resolve, reject) => {
        const asking = request(
          {
            ...{host: '127.0.0.1', port: Number(/:(\d+)$/.exec(message)![1]), path: '/v1/identity', method: 'POST'},
            ...{agent: false, rejectUnauthorized: false},
            headers: {authorization: 'Bearer nobody', 'content-type': 'application/json'},
          },
          (answer) => resolve(answer.resume().statusCode!),
        );
        asking.once('error', reject);
        asking.end(JSON.stringify({request: 'x'}));
      });
      // 503 where the API server does not let it ask.
      expect(status).toBe(401);
      expect(field(['secret', '-n', NAMESPACE, 'sallyport-mtls-ca'], '{.data.root\\.crt}')).not.toBe('');
      const names = new X509Certificate(
        Buffer.from(field(['secret', '-n', NAMESPACE, 'sallyport-issuer-tls'], '{.data.tls\\.crt}'), 'base64'),
      ).subjectAltName;
      expect(names).toContain(`DNS:sallyport-issuer.${NAMESPACE}.svc`);
      await until(() => field(['configmap', '-n', 'team', 'sallyport-trust'], '{.data.issuer-ca\\.crt}') !== '');
      expect(forbidden(controller)).toEqual([]);
    },
    LONG_MS,
  );

  clusterTest('helm')(
    'the injector knows namespaces and proxies, and answers',
    async () => {
      const [port] = (await freePorts(1)) as [number];
      makeAuthority(cluster.dir);
      makeCertificate(cluster.dir, 'injector', '/CN=injector', ['IP:127.0.0.1']);
      const argv = ['--listen', `127.0.0.1:${port}`, '--tls-cert', join(cluster.dir, 'injector.crt')];
      const injector = started('sallyport-injector', [
        'injector',
        ...argv,
        '--tls-key',
        join(cluster.dir, 'injector.key'),
      ]);
      await injector.logged(event('injector.listening'));
      expect(forbidden(injector)).toEqual([]);
    },
    LONG_MS,
  );

  clusterTest('helm')(
    'extauthz knows policies and pods',
    async () => {
      const [port] = (await freePorts(1)) as [number];
      const extauthz = started('sallyport-extauthz', [
        ...argsOf('Deployment', 'sallyport-extauthz'),
        ...['--listen', `127.0.0.1:${port}`],
      ]);
      await extauthz.logged(event('policy.loaded', 'documents in force'));
      expect(forbidden(extauthz)).toEqual([]);
    },
    LONG_MS,
  );

  clusterTest('helm')(
    'the agent knows policies and pods, and takes the taint of its node away',
    async () => {
      // It signs the agent's intermediate.
      const controller = lead('two');
      const [listen, explicit] = (await freePorts(2)) as [number, number];
      const dir = (name: string): string => join(cluster.dir, name);
      const agent = started(
        'sallyport-node',
        [
          ...[...argsOf('DaemonSet', 'sallyport-node'), '--node-name', RUNNING, '--capture', 'none', '--workers', '1'],
          ...['--resolver', '127.0.0.1:5353'],
          ...['--listen', `127.0.0.1:${listen}`, '--explicit', `127.0.0.1:${explicit}`],
          ...['--ca-dir', dir('ca'), '--state-dir', dir('state')],
        ],
        RUNNING,
      );
      await agent.logged(event('policy.loaded', 'documents in force'));
      await agent.logged(event('node.untainted'));
      await until(() => field(['egressnode', RUNNING], '{.status.ready}') !== '');
      const taints = field(['node', RUNNING], '{.spec.taints[*].key}').split(' ');
      expect([taints.includes('other'), taints.includes(taint.key)]).toEqual([true, false]);
      expect([...forbidden(agent), ...forbidden(controller)]).toEqual([]);
    },
    LONG_MS,
  );
});

describe('an agent writes of its own node alone', () => {
  const asAgent = (argv: readonly string[], input?: string): Ran =>
    cluster.kubectl([...argv, '--kubeconfig', kubeconfigOfAccount(cluster, 'sallyport-node', NODE)], input);
  const withoutTaint = (node: string, more: object[] = []): Ran => {
    const patch = [{op: 'remove', path: '/spec/taints/0'}, ...more];
    return asAgent(['patch', 'node', node, '--type=json', '-p', JSON.stringify(patch), '--dry-run=server']);
  };
  const report = (name: string): string =>
    JSON.stringify({apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressNode', metadata: {name}});
  const HELD = /sallyport-agents: this agent is of node worker-1 and may not write of worker-2/;

  clusterTest('helm')('its certificate, and no other kind of one', async () => {
    const request = (signerName: string): Ran => {
      const pem = certificateRequest(NODE, newKey());
      const spec = {request: Buffer.from(pem).toString('base64'), signerName, usages: ['client auth']};
      const object = {
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'CertificateSigningRequest',
        metadata: {name: 'r'},
        spec,
      };
      return asAgent(['create', '--dry-run=server', '-f', '-'], JSON.stringify(object));
    };
    // The API server reads its policies from a watch of its own.
    await seen(
      () => request('example.org/clients').stderr,
      (stderr) => stderr.includes('an agent asks for certificates of sallyport.dev/node-ca alone'),
    );
    expect(request('sallyport.dev/node-ca')).toMatchObject({status: 0});
  });

  clusterTest('helm')('its report', () => {
    const write = ['apply', '--server-side', '-f', '-'];
    expect(asAgent(write, report(NODE))).toMatchObject({status: 0});
    expect(asAgent(write, report('worker-2'))).toMatchObject({status: 1, stderr: expect.stringMatching(HELD)});
    // That of another, which is there.
    expect(cluster.kubectl(write, report('worker-2')).status).toBe(0);
    const lie = JSON.stringify({status: {ready: true}});
    const patch = ['patch', 'egressnode', 'worker-2', '--subresource=status', '--type=merge', '-p', lie];
    expect(asAgent(patch)).toMatchObject({status: 1, stderr: expect.stringMatching(HELD)});
  });

  clusterTest('helm')('its taint', () => {
    expect(withoutTaint(NODE)).toMatchObject({status: 0});
    expect(withoutTaint('worker-2')).toMatchObject({status: 1, stderr: expect.stringMatching(HELD)});
  });

  clusterTest('helm').each<[string, object]>([
    ['a taint of others', {op: 'remove', path: '/spec/taints/0'}],
    ['a label', {op: 'add', path: '/metadata/labels', value: {'node-role.kubernetes.io/control-plane': ''}}],
    ['that it is drained', {op: 'add', path: '/spec/unschedulable', value: true}],
    [
      'what network plugins read',
      {op: 'add', path: '/metadata/annotations', value: {'flannel.alpha.coreos.com/public-ip': '10.9.9.9'}},
    ],
    ['what holds its object', {op: 'add', path: '/metadata/finalizers', value: ['example.com/held']}],
    ['whose it is', {op: 'add', path: '/spec/providerID', value: 'aws:///other'}],
  ])('but not %s', (_title, change) => {
    const said = expect.stringMatching(/of its node an agent changes the taint sallyport.dev\/agent-not-ready alone/);
    expect(withoutTaint(NODE, [change])).toMatchObject({status: 1, stderr: said});
  });

  clusterTest('helm')('and a token that is of no node writes nothing', () => {
    const file = kubeconfigOfAccount(cluster, 'sallyport-node');
    const {status, stderr} = cluster.kubectl(['apply', '--server-side', '-f', '-', '--kubeconfig', file], report(NODE));
    expect([status, stderr]).toEqual([1, expect.stringMatching(/this agent is of node +and may not write/)]);
  });
});

describe('and no more', () => {
  const can = (account: string, argv: readonly string[]): string =>
    cluster
      .kubectl(['auth', 'can-i', ...argv, `--as=system:serviceaccount:${NAMESPACE}:sallyport-${account}`])
      .stdout.trim();

  clusterTest('helm').each<[string, string, readonly string[]]>([
    ...['node', 'injector', 'controller', 'extauthz'].flatMap((account): [string, string, readonly string[]][] => [
      [account, 'read Secrets of others', ['get', 'secrets', '-n', 'team']],
      [account, 'list Secrets of ours', ['list', 'secrets', '-n', NAMESPACE]],
      [account, 'write policies', ['create', 'egresspolicies', '-n', 'team']],
      [account, 'change policies', ['update', 'clusteregresspolicies']],
      [account, 'make pods', ['create', 'pods', '-n', NAMESPACE]],
      [account, 'run in pods', ['create', 'pods/exec', '-n', 'team']],
      [account, 'make tokens', ['create', 'serviceaccounts/token', '-n', NAMESPACE]],
      [account, 'give itself more', ['create', 'clusterrolebindings']],
      [account, 'speak as another', ['impersonate', 'users']],
      [account, 'change webhooks of others', ['patch', 'mutatingwebhookconfigurations/istio-sidecar-injector']],
      [account, 'take webhooks away', ['delete', 'validatingwebhookconfigurations/sallyport']],
    ]),
    ...['node', 'injector', 'extauthz'].flatMap((account): [string, string, readonly string[]][] => [
      [account, 'read the CA', ['get', 'secrets/sallyport-ca', '-n', NAMESPACE]],
      [account, 'sign for nodes', ['sign', 'signers.certificates.k8s.io/sallyport.dev/node-ca']],
      [account, 'approve requests', ['update', 'certificatesigningrequests', '--subresource=approval']],
      [account, 'change webhooks of ours', ['patch', 'mutatingwebhookconfigurations/sallyport']],
      [account, 'write conditions', ['patch', 'egresspolicies', '--subresource=status', '-n', 'team']],
      [account, 'change what pods trust', ['patch', 'configmaps/sallyport-trust', '-n', 'team']],
    ]),
    ['injector', 'see pods', ['list', 'pods', '-A']],
    ['injector', 'see policies', ['list', 'egresspolicies', '-A']],
    ['extauthz', 'see nodes', ['get', 'nodes']],
    ['extauthz', 'ask for an intermediate', ['create', 'certificatesigningrequests']],
    ['controller', 'sign for others', ['sign', 'signers/kubernetes.io/kube-apiserver-client']],
    ['controller', 'change ConfigMaps of others', ['patch', 'configmaps/theirs', '-n', 'team']],
    ['controller', 'read ConfigMaps of others', ['get', 'configmaps/theirs', '-n', 'team']],
    ['controller', 'read Secrets of ours that are not its own', ['get', 'secrets/squid-credentials', '-n', NAMESPACE]],
    ['controller', 'change nodes', ['patch', 'nodes']],
    ['node', 'list nodes', ['list', 'nodes']],
    ['node', 'read Secrets of ours that no proxy names', ['get', 'secrets/other', '-n', NAMESPACE]],
    ['node', 'make nodes unknown', ['delete', 'egressnodes']],
  ])('%s cannot %s', (account, _what, argv) => {
    expect(can(account, argv)).toBe('no');
  });

  clusterTest('helm')('and the question can be answered with yes', () => {
    expect(can('node', ['get', 'secrets/squid-credentials', '-n', NAMESPACE])).toBe('yes');
    expect(can('controller', ['get', 'secrets/sallyport-ca', '-n', NAMESPACE])).toBe('yes');
    expect(can('node', ['create', 'certificatesigningrequests'])).toBe('yes');
  });
});
