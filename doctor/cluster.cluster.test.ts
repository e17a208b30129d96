/** `sallyport doctor cluster` beside a real API server and a real injector, whole and broken. */
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {ephemeralCa} from '../pki/index.ts';
import {clusterTest} from '../test/cluster/require.ts';
import {startRole} from '../test/cluster/role.ts';
import {
  ROOT,
  TIMEOUT_MS,
  apply,
  applyStatus,
  ca,
  cluster,
  doctor,
  done,
  kubectl,
  line,
  lines,
  patch,
  policy,
  report,
  roles,
  startWhole,
  stopWhole,
  webhooks,
  well,
  whileBroken,
  type Line,
} from './testing/whole-cluster.ts';

const it = clusterTest();

beforeAll(startWhole, TIMEOUT_MS);
afterAll(stopWhole, TIMEOUT_MS);

describe('a cluster where all is well', () => {
  it(
    'every check is ok and the exit code is 0',
    async () => {
      const {status, stdout} = await doctor();
      expect(stdout).toMatch(/^ok {4}cluster\.admission .*one was injected and the other refused by us/m);
      expect(stdout).toMatch(/13 ok, 0 warnings, 0 failed\n$/);
      expect(status).toBe(0);
    },
    TIMEOUT_MS,
  );
  it(
    'nothing is left of the dry runs',
    () => {
      expect(kubectl(['get', 'pods', '-A', '-o', 'name']).stdout).toBe('');
    },
    TIMEOUT_MS,
  );
});

describe('the webhook', () => {
  it(
    'that fails open, or is not asked about ephemeral containers',
    async () => {
      const {verdict, found} = await whileBroken(
        'cluster.webhooks',
        () =>
          apply(
            webhooks('validate', {
              failurePolicy: 'Ignore',
              rules: [{operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods']}],
            }),
          ),
        () => apply(webhooks('validate')),
      );
      expect(verdict).toBe('FAIL');
      expect(found).toMatch(/failurePolicy Ignore: while the webhook is down, pods start unguarded/);
      expect(found).toMatch(/kubectl debug goes past it/);
    },
    TIMEOUT_MS,
  );
  it(
    'that is gone: nothing is injected, nothing is refused',
    async () => {
      const {verdict, found} = await whileBroken(
        'cluster.admission',
        () => {
          done(['delete', 'mutatingwebhookconfiguration', 'sallyport']);
          done(['delete', 'validatingwebhookconfiguration', 'sallyport']);
        },
        () => ['mutate', 'validate'].forEach((path) => apply(webhooks(path))),
      );
      expect(verdict).toBe('FAIL');
      expect(found).toMatch(/comes back as it was/);
    },
    TIMEOUT_MS,
  );
  it(
    'whose certificate the API server does not believe',
    async () => {
      const other = Buffer.from(ephemeralCa().rootPem).toString('base64');
      const {clientConfig} = (webhooks('mutate') as {webhooks: [{clientConfig: object}]}).webhooks[0];
      const wrong = {clientConfig: {...clientConfig, caBundle: other}};
      const found = await whileBroken(
        'cluster.admission',
        () => apply(webhooks('mutate', wrong)),
        () => apply(webhooks('mutate')),
      );
      expect(found.found).toMatch(/cannot be created in default: .*certificate/);
      apply(webhooks('mutate', wrong));
      const all = await lines();
      apply(webhooks('mutate'));
      expect(all.find(({check}) => check === 'cluster.certificates')).toMatchObject({
        verdict: 'FAIL',
        found: expect.stringContaining('its caBundle does not hold the issuer'),
      });
      await well();
    },
    TIMEOUT_MS,
  );
  it(
    'that leads to a Service nobody is behind',
    async () => {
      const clientConfig = {
        service: {name: 'sallyport-injector', namespace: 'sallyport', path: '/validate'},
        caBundle: Buffer.from(ca.rootPem).toString('base64'),
      };
      const slice = {
        ...{apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4'},
        metadata: {
          name: 'nobody',
          namespace: 'sallyport',
          labels: {'kubernetes.io/service-name': 'sallyport-injector'},
        },
        ...{endpoints: [], ports: []},
      };
      const {verdict, found} = await whileBroken(
        'cluster.webhooks',
        () => {
          // What is empty in it the API server writes as null.
          apply(slice);
          apply({
            ...webhooks('validate'),
            webhooks: [
              {
                ...(webhooks('validate') as {webhooks: [object]}).webhooks[0],
                clientConfig,
                namespaceSelector: {matchLabels: {never: 'x'}},
              },
            ],
          });
        },
        () => {
          done(['delete', 'endpointslice', '-n', 'sallyport', 'nobody']);
          done(['delete', 'validatingwebhookconfiguration', 'sallyport']);
          apply(webhooks('validate'));
        },
      );
      expect(verdict).toBe('FAIL');
      expect(found).toContain('the Service sallyport/sallyport-injector has no ready endpoint');
    },
    TIMEOUT_MS,
  );
});

describe('namespaces and pods', () => {
  it(
    'a namespace that opts in and is left out by the webhook',
    async () => {
      const {verdict, found} = await whileBroken(
        'cluster.namespaces',
        () => done(['label', 'namespace', 'left-out', 'sallyport.dev/injection=enabled']),
        () => done(['label', 'namespace', 'left-out', 'sallyport.dev/injection-']),
      );
      expect(verdict).toBe('FAIL');
      expect(found).toBe('namespace left-out opts in, and the webhook is not asked about its pods');
    },
    TIMEOUT_MS,
  );
  it(
    'a bundle that somebody changed while nobody keeps it',
    async () => {
      const controller = roles.pop()!;
      await controller.stop();
      patch(['configmap', '-n', 'opted', 'sallyport-trust'], {data: {'ca.crt': 'nothing'}});
      const {verdict, found} = await line('cluster.trust');
      expect({verdict, found}).toEqual({
        verdict: 'FAIL',
        found: 'that of namespace opted is another: its pods reject what the CA signs now',
      });
      done(['delete', 'configmap', '-n', 'opted', 'sallyport-trust']);
      expect((await line('cluster.trust')).found).toBe('namespace opted has none: its pods wait for the mount');
      roles.push(
        startRole(['controller', '--kubeconfig', cluster.kubeconfig, '--identity', 'two', '--admin', '127.0.0.1:0']),
      );
      await well();
    },
    TIMEOUT_MS,
  );
  it(
    'pods that were made without the webhook, are held by nobody, or had nobody to wait for',
    async () => {
      const pod = (name: string, labels: object, annotations: object = {}): object => ({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {name, namespace: 'left-out', labels, annotations},
        spec: {nodeName: 'node-1', automountServiceAccountToken: false, containers: [{name: 'app', image: 'a'}]},
      });
      const running = (name: string): void =>
        done([
          'patch',
          'pod',
          '-n',
          'left-out',
          name,
          '--subresource=status',
          '--type=merge',
          '-p',
          '{"status":{"phase":"Running","podIP":"10.1.1.1","podIPs":[{"ip":"10.1.1.1"}]}}',
        ]);
      done(['create', '-f', '-'], pod('unseen', {'sallyport.dev/mode': 'tproxy'}));
      running('unseen');
      const unseen = await line('cluster.pods');
      expect(unseen.verdict).toBe('FAIL');
      expect(unseen.found).toContain('left-out/unseen asks for tproxy and was made without the webhook');
      expect(unseen.found).toContain('the agent of node-1 does not hold it');
      done(['delete', 'pod', '-n', 'left-out', 'unseen', '--grace-period=0', '--force']);

      done(['create', '-f', '-'], pod('late', {app: 'late'}));
      running('late');
      const uid = kubectl(['get', 'pod', '-n', 'left-out', 'late', '-o', 'jsonpath={.metadata.uid}']).stdout;
      applyStatus(report({locked: [uid]}));
      expect(await line('cluster.pods')).toMatchObject({
        verdict: 'warn',
        found: 'left-out/late is held, and nothing waited for that when it started: a window of milliseconds',
      });
      applyStatus(report());
      done(['delete', 'pod', '-n', 'left-out', 'late', '--grace-period=0', '--force']);

      // What captures itself is held by no agent: its own containers do it.
      const itself = {'sallyport.dev/mode': 'tproxy', 'sallyport.dev/capture': 'pod'};
      const own = pod('itself', itself, {'sallyport.dev/status': '{}'}) as {spec: object};
      const initContainers = ['sallyport-capture', 'sallyport-proxy'].map((name) => ({name, image: 'a'}));
      done(['create', '-f', '-'], {...own, spec: {...own.spec, initContainers}});
      running('itself');
      expect(await line('cluster.pods')).toMatchObject({
        verdict: 'ok',
        found: expect.stringContaining('1 capture themselves'),
      });
      done(['delete', 'pod', '-n', 'left-out', 'itself', '--grace-period=0', '--force']);
      await well();
    },
    TIMEOUT_MS,
  );
});

describe('agents', () => {
  it.each<[string, object, RegExp]>([
    ['is not ready', {ready: false}, /^the agent of node-1 is not ready$/],
    ['was not heard of since the node restarted', {bootID: 'another'}, /node node-1 was restarted/],
    ['is silent', {heartbeatTime: '2026-01-01T00:00:00Z'}, /silent since 2026-01-01/],
    [
      'lacks a Secret',
      {missingRefs: [{proxy: 'corp', message: 'no Secret'}]},
      /UpstreamProxy corp cannot be used: no Secret/,
    ],
  ])(
    'one that %s',
    async (_, more, found) => {
      const said = await whileBroken(
        'cluster.agents',
        () => applyStatus(report(more)),
        () => applyStatus(report()),
      );
      expect(said).toMatchObject({verdict: 'FAIL', found: expect.stringMatching(found)});
    },
    TIMEOUT_MS,
  );
  it(
    'a node without one',
    async () => {
      const said = await whileBroken(
        'cluster.agents',
        () =>
          apply({apiVersion: 'v1', kind: 'Node', metadata: {name: 'node-2', labels: {'kubernetes.io/os': 'linux'}}}),
        () => done(['delete', 'node', 'node-2']),
      );
      expect(said).toMatchObject({verdict: 'FAIL', found: 'node node-2 has no agent: no pod there is captured'});
    },
    TIMEOUT_MS,
  );
  it(
    'another version is a warning',
    async () => {
      const said = await whileBroken(
        'cluster.versions',
        () => applyStatus(report({version: '9.9.9'})),
        () => applyStatus(report()),
      );
      expect(said).toMatchObject({verdict: 'warn', found: expect.stringContaining('the agent of node-1 is 9.9.9')});
    },
    TIMEOUT_MS,
  );
});

describe('policies, definitions and rights', () => {
  it(
    'a policy that is not accepted',
    async () => {
      const said = await whileBroken(
        'cluster.policies',
        () => apply(policy('bad', [{name: 'r', to: {cidrs: ['10.1.2.3/8']}}])),
        () => done(['delete', 'egp', 'bad']),
      );
      expect(said.found).toMatch(/EgressPolicy default\/bad/);
    },
    TIMEOUT_MS,
  );
  it(
    'a definition of another version, and one that is gone',
    async () => {
      const file = join(ROOT, 'charts/sallyport/crds/upstreamproxy.yaml');
      const name = 'upstreamproxies.sallyport.dev';
      const crd = JSON.parse(kubectl(['get', 'crd', name, '-o', 'json']).stdout) as {
        spec: {versions: [{schema: {openAPIV3Schema: {properties: {spec: {properties: Record<string, unknown>}}}}}]};
      };
      crd.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties['later'] = {type: 'string'};
      patch(['crd', name], {spec: {versions: crd.spec.versions}});
      expect(await line('cluster.crds')).toMatchObject({
        verdict: 'warn',
        found: expect.stringContaining('has another schema'),
      });
      done(['delete', 'crd', name]);
      expect(await line('cluster.crds')).toMatchObject({verdict: 'FAIL', found: `${name} is not there`});
      done(['apply', '--server-side', '--force-conflicts', '-f', file]);
      await well();
    },
    TIMEOUT_MS,
  );
  it(
    'a service account of ours that may read every Secret',
    async () => {
      const said = await whileBroken(
        'cluster.rbac',
        () => {
          done(['create', 'clusterrole', 'too-wide', '--verb=get,list', '--resource=secrets']);
          done([
            'create',
            'clusterrolebinding',
            'too-wide',
            '--clusterrole=too-wide',
            '--serviceaccount=sallyport:sallyport-injector',
          ]);
        },
        () => {
          done(['delete', 'clusterrolebinding', 'too-wide']);
          done(['delete', 'clusterrole', 'too-wide']);
        },
      );
      expect(said).toMatchObject({
        verdict: 'FAIL',
        found: 'sallyport-injector may get, list secrets in every namespace (ClusterRole too-wide, bound by too-wide)',
      });
    },
    TIMEOUT_MS,
  );
});

describe('who may not look', () => {
  it(
    'a user without rights is told so in each line, and nothing is taken for well',
    async () => {
      const kubeconfig = cluster.kubeconfigOf('nobody', ['nobodies']);
      const {status, stdout} = await doctor('--kubeconfig', kubeconfig, '-o', 'json');
      const {checks} = JSON.parse(stdout) as {checks: Line[]};
      for (const name of ['cluster.pods', 'cluster.rbac', 'cluster.webhooks', 'cluster.trust'])
        expect(checks.find(({check}) => check === name)).toMatchObject({
          looked: false,
          found: expect.stringContaining('403'),
          fix: expect.stringContaining('kubeconfig'),
        });
      expect(status).toBe(1);
    },
    TIMEOUT_MS,
  );
  it(
    'with the API server away nothing could be looked at: exit 3, and it says so in time',
    async () => {
      await cluster.stopApiServer();
      const {status, stdout} = await doctor('-o', 'json');
      await cluster.startApiServer();
      const {checks} = JSON.parse(stdout) as {checks: Line[]};
      // Which definitions are ours is known; what is there is not.
      expect(checks.filter(({looked}) => looked)).toEqual([]);
      expect(status).toBe(3);
    },
    TIMEOUT_MS,
  );
});
