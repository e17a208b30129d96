/** Intermediates of nodes beside a real API server: an agent's token as the kubelet mounts it, and the controller that signs. */
import {X509Certificate} from 'node:crypto';
import {mkdtempSync, readFileSync, rmSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, afterEach, beforeAll, describe, expect} from '@jest/globals';
import {KubeConfig} from '@kubernetes/client-node';
import {certificateRequest, hasOwnCa, newKey, openNodeCa, NODE_CA_FILE} from '../../pki/index.ts';
import {createJsonJournal} from '../../runtime/journal.ts';
import {kubeconfigOfToken} from '../../test/cluster/bound-token.ts';
import {startControlPlane, type ControlPlane} from '../../test/cluster/control-plane.ts';
import {clusterTest} from '../../test/cluster/require.ts';
import {startRole, type Role} from '../../test/cluster/role.ts';
import {keepNodeCa, type NodeCaAgent} from './agent.ts';

const LONG_MS = 120_000;
const NAMESPACE = 'sallyport';
const SERVICE_ACCOUNT = 'sallyport-node';

let cluster: ControlPlane;
let agentOf: (node: string) => string;
beforeAll(async () => {
  cluster = await startControlPlane();
  agentOf = (node) =>
    kubeconfigOfToken(cluster, {
      ...{namespace: NAMESPACE, serviceAccount: SERVICE_ACCOUNT},
      pod: {name: `agent-${node}`, node},
    });
  agentOf('node-1');
  apply(
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: {name: 'asks'},
      rules: [
        {apiGroups: ['certificates.k8s.io'], resources: ['certificatesigningrequests'], verbs: ['create', 'get']},
        {apiGroups: [''], resources: ['configmaps'], verbs: ['get']},
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: {name: 'asks'},
      roleRef: {apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'asks'},
      // Everybody with a service account may ask here: who gets one is the controller's to say.
      subjects: [{kind: 'Group', name: 'system:serviceaccounts', apiGroup: 'rbac.authorization.k8s.io'}],
    },
  );
}, 180_000);
afterAll(() => cluster?.stop());

const roles: Role[] = [];
const agents: NodeCaAgent[] = [];
const dirs: string[] = [];
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop();
  for (const role of roles.splice(0)) await role.stop();
  for (const dir of dirs.splice(0)) rmSync(dir, {recursive: true});
});

function apply(...objects: object[]): void {
  const list = {apiVersion: 'v1', kind: 'List', items: objects};
  expect(cluster.kubectl(['apply', '-f', '-'], JSON.stringify(list))).toMatchObject({status: 0});
}

function controller(...flags: string[]): Role {
  const role = startRole([
    ...['controller', '--kubeconfig', cluster.kubeconfig, '--identity', 'one', '--admin', '127.0.0.1:0'],
    ...flags,
  ]);
  roles.push(role);
  return role;
}

interface Node {
  readonly dir: string;
  readonly agent: NodeCaAgent;
  readonly said: {event: string; message: string}[];
}

function agent(node: string, kubeconfig = agentOf(node)): Node {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const dir = mkdtempSync(join(cluster.dir, 'ca-'));
  dirs.push(dir);
  const said: Node['said'] = [];
  const journal = createJsonJournal({
    line: (line: string) => void said.push(JSON.parse(line) as Node['said'][number]),
    flush: () => undefined,
  });
  const keeper = keepNodeCa({config, node, dir, journal});
  agents.push(keeper);
  return {dir, agent: keeper, said};
}

async function until<T>(look: () => T | null | false | undefined): Promise<T> {
  for (const deadline = Date.now() + LONG_MS; ;) {
    const found = look();
    if (found !== null && found !== false && found !== undefined) return found;
    if (Date.now() > deadline) throw new Error('it did not come to it');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
const issuedTo = (dir: string) =>
  until(() => {
    try {
      return openNodeCa({dir});
    } catch {
      return null;
    }
  });
const rootOfSecret = (): string =>
  Buffer.from(
    cluster.kubectl(['get', 'secret', '-n', NAMESPACE, 'sallyport-ca', '-o', 'jsonpath={.data.root\\.crt}']).stdout,
    'base64',
  ).toString('utf8');

describe('an agent with the token of its pod', () => {
  clusterTest()(
    'gets an intermediate for its node, whose key was never anywhere else',
    async () => {
      const role = controller();
      const {dir, said} = agent('node-1');
      const ca = await issuedTo(dir);
      const {x509, pathLength} = ca.issuer().certificate;
      expect([x509.subject, pathLength, x509.keyUsage]).toEqual([
        expect.stringMatching(/CN=Sallyport node-1 CA [0-9a-f]{8}$/),
        0,
        ['1.3.6.1.5.5.7.3.1'],
      ]);
      const root = new X509Certificate(rootOfSecret());
      expect(x509.verify(root.publicKey) && x509.checkIssued(root)).toBe(true);
      expect(Date.parse(x509.validTo) - Date.now()).toBeLessThan(7 * 86_400_000 + 60_000);
      expect(statSync(join(dir, NODE_CA_FILE)).mode & 0o777).toBe(0o600);
      expect(hasOwnCa(dir)).toBe(false);
      const key = /-----BEGIN PRIVATE KEY-----\n([^-]+)-----END/.exec(
        readFileSync(join(dir, NODE_CA_FILE), 'utf8'),
      )![1]!;
      const everything = cluster.kubectl(['get', 'csr,secrets,configmaps', '-A', '-o', 'yaml']).stdout;
      expect(everything).not.toContain(Buffer.from(key.slice(0, 60)).toString('base64').slice(0, 60));
      expect(everything).toContain('sallyport.dev/node-ca');
      await until(() => said.find(({event}) => event === 'node-ca.issued'));
      await role.logged(({event, message}) => event === 'node-ca.signed' && message.includes('node node-1'));
    },
    LONG_MS,
  );

  clusterTest()(
    'waits while there is no controller, and is answered when there is one',
    async () => {
      const {agent: asking, dir} = agent('node-2');
      const pending = () =>
        (
          JSON.parse(cluster.kubectl(['get', 'csr', '-o', 'json']).stdout) as {
            items: {metadata: {name: string}; status: {certificate?: string}}[];
          }
        ).items.find(
          ({metadata, status}) =>
            metadata.name.startsWith('sallyport-node-ca-node-2-') && status.certificate === undefined,
        );
      await until(pending);
      expect(asking.waitsFor()).toMatch(/answer to the request for node node-2/);
      controller();
      await issuedTo(dir);
      await until(() => asking.waitsFor() === null);
    },
    LONG_MS,
  );

  clusterTest()(
    'renews it, with another key each time',
    async () => {
      controller('--node-ca-life', '24s');
      const {dir} = agent('node-1');
      const first = (await issuedTo(dir)).issuer();
      const second = await until(() => {
        const now = openNodeCa({dir}).issuer();
        return now.chainPem !== first.chainPem && now;
      });
      expect(second.notAfterMs).toBeGreaterThan(first.notAfterMs);
      expect(second.key.key.export({type: 'sec1', format: 'pem'})).not.toBe(
        first.key.key.export({type: 'sec1', format: 'pem'}),
      );
    },
    LONG_MS,
  );
});

describe('who is refused', () => {
  const conditionOf = (name: string): {type: string; reason: string; message: string} | null => {
    const {stdout} = cluster.kubectl(['get', 'csr', name, '-o', 'json']);
    const {status} = JSON.parse(stdout) as {status: {conditions?: {type: string; reason: string; message: string}[]}};
    return status.conditions?.find(({type}) => type !== 'Approved') ?? null;
  };

  clusterTest()(
    'one who names another node than his token is of is told so, and has nothing',
    async () => {
      controller();
      const {dir, said, agent: asking} = agent('node-2', agentOf('node-1'));
      const failed = await until(() => said.find(({event}) => event === 'node-ca.failed'));
      expect(failed.message).toMatch(/Denied: WrongNode: .*of node node-1.*what would have to be inspected is refused/);
      expect(asking.waitsFor()).toMatch(/WrongNode/);
      expect(() => openNodeCa({dir})).toThrow(expect.objectContaining({code: 'CaMissingFile'}));
    },
    LONG_MS,
  );

  clusterTest()(
    'so is a token that is bound to no pod, and an account that is no agent, however well bound',
    async () => {
      controller();
      const unbound = kubeconfigOfToken(cluster, {namespace: NAMESPACE, serviceAccount: SERVICE_ACCOUNT, pod: null});
      const other = kubeconfigOfToken(cluster, {
        ...{namespace: 'team-a', serviceAccount: SERVICE_ACCOUNT},
        pod: {name: 'app', node: 'node-1'},
      });
      for (const [kubeconfig, reason] of [
        [unbound, /Denied: TokenNotBound/],
        [other, /Denied: NotAnAgent/],
      ] as const) {
        const {said} = agent('node-1', kubeconfig);
        expect((await until(() => said.find(({event}) => event === 'node-ca.failed'))).message).toMatch(reason);
      }
    },
    LONG_MS,
  );

  clusterTest()(
    'and what an administrator approved by hand is not signed for that',
    async () => {
      const request = {
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'CertificateSigningRequest',
        metadata: {name: 'by-hand'},
        spec: {
          request: Buffer.from(certificateRequest('node-1', newKey())).toString('base64'),
          signerName: 'sallyport.dev/node-ca',
          usages: ['cert sign'],
        },
      };
      apply(request);
      expect(cluster.kubectl(['certificate', 'approve', 'by-hand'])).toMatchObject({status: 0});
      controller();
      const condition = await until(() => conditionOf('by-hand'));
      expect(condition).toMatchObject({type: 'Failed', reason: 'NotAnAgent'});
      expect(cluster.kubectl(['get', 'csr', 'by-hand', '-o', 'jsonpath={.status.certificate}']).stdout).toBe('');
    },
    LONG_MS,
  );

  clusterTest()(
    'requests of other signers are left alone',
    async () => {
      const role = controller();
      apply({
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'CertificateSigningRequest',
        metadata: {name: 'not-ours'},
        spec: {
          request: Buffer.from(certificateRequest('node-1', newKey())).toString('base64'),
          signerName: 'example.com/other',
          usages: ['digital signature'],
        },
      });
      const {dir} = agent('node-1');
      await issuedTo(dir);
      await role.logged(({event}) => event === 'node-ca.signed');
      expect(conditionOf('not-ours')).toBeNull();
    },
    LONG_MS,
  );
});
