/** `sallyport tproxy` in a cluster: it begins without a CA, signs with its node's intermediate, and follows the next one. */
import {mkdtempSync} from 'node:fs';
import {get} from 'node:http';
import {connect as connectTcp} from 'node:net';
import {join} from 'node:path';
import {connect as connectTls} from 'node:tls';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {kubeconfigOfToken} from '../../test/cluster/bound-token.ts';
import {startControlPlane, type ControlPlane} from '../../test/cluster/control-plane.ts';
import {freePorts} from '../../test/cluster/ports.ts';
import {clusterTest} from '../../test/cluster/require.ts';
import {startRole, type Role} from '../../test/cluster/role.ts';

const ROOT = join(import.meta.dirname, '../..');
const LONG_MS = 150_000;
const FINGERPRINT = /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/;

let cluster: ControlPlane;
const roles: Role[] = [];
beforeAll(async () => {
  cluster = await startControlPlane();
  expect(cluster.kubectl(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]).status).toBe(0);
  expect(cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']).status).toBe(0);
}, 180_000);
afterAll(async () => {
  for (const role of roles) await role.stop();
  await cluster?.stop();
});

const start = (argv: readonly string[]): Role => {
  const role = startRole(argv);
  roles.push(role);
  return role;
};

/** A pod of the node whose address is ours, and a policy that has to look into what it says to a.test. */
function makeClient(): void {
  const done = (argv: readonly string[], object: object): void =>
    expect(cluster.kubectl([...argv, '-f', '-'], JSON.stringify(object))).toMatchObject({status: 0});
  const metadata = {name: 'app', namespace: 'sallyport', annotations: {'sallyport.dev/trusts-ca': 'true'}};
  done(['create'], {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressPolicy',
    metadata: {name: 'seen', namespace: 'sallyport'},
    spec: {podSelector: {}, rules: [{name: 'seen', to: {hosts: ['a.test']}, http: {paths: ['/never']}}]},
  });
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: {
      ...{nodeName: 'node-1', serviceAccountName: 'sallyport-node', automountServiceAccountToken: false},
      containers: [{name: 'app', image: 'example/app'}],
    },
  };
  done(['create'], pod);
  const status = {phase: 'Running', podIP: '127.0.0.1', podIPs: [{ip: '127.0.0.1'}]};
  const patch = ['patch', 'pod', '-n', 'sallyport', 'app', '--subresource=status', '-p', JSON.stringify({status})];
  expect(cluster.kubectl(patch)).toMatchObject({status: 0});
}

function readyz(port: number): Promise<{status: number; ca: string}> {
  return new Promise((resolve, reject) => {
    get({host: '127.0.0.1', port, path: '/readyz'}, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({status: response.statusCode!, ca: (JSON.parse(text) as {ca: string}).ca}));
    }).on('error', reject);
  });
}

/** Who issued the leaf that the explicit port shows for a name: a fingerprint; or why there is none. */
function issuerOf(port: number, ca: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1', () =>
      socket.write('CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n'),
    );
    socket.on('error', (error: Error) => resolve(error.message));
    socket.once('close', () => resolve('closed'));
    socket.once('data', (head) => {
      if (!String(head).startsWith('HTTP/1.1 200')) return resolve(String(head));
      const tls = connectTls({socket, servername: 'a.test', ca}, () => {
        const {issuerCertificate} = tls.getPeerCertificate(true);
        resolve(issuerCertificate.fingerprint256);
        tls.destroy();
      });
      tls.on('error', (error: Error) => resolve(error.message));
    });
  });
}

async function until<T>(look: () => Promise<T | null>): Promise<T> {
  for (const deadline = Date.now() + LONG_MS - 20_000; ;) {
    const found = await look();
    if (found !== null) return found;
    if (Date.now() > deadline) throw new Error('it did not come to it');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

describe('the agent of a node', () => {
  clusterTest()(
    'says what it waits for, signs nothing until then, signs with what it got, and with the next one after it',
    async () => {
      const kubeconfig = kubeconfigOfToken(cluster, {
        ...{namespace: 'sallyport', serviceAccount: 'sallyport-node'},
        pod: {name: 'agent', node: 'node-1'},
      });
      // The rights of the agent are the chart's tests' matter.
      const binding = ['create', 'clusterrolebinding', 'agent', '--clusterrole=cluster-admin'];
      expect(cluster.kubectl([...binding, '--serviceaccount=sallyport:sallyport-node']).status).toBe(0);
      makeClient();
      const caDir = mkdtempSync(join(cluster.dir, 'ca-'));
      const [listen, explicit, admin] = (await freePorts(3)) as [number, number, number];
      const agent = start([
        ...['tproxy', '--kubeconfig', kubeconfig, '--node-name', 'node-1', '--ca-dir', caDir, '--workers', '1'],
        ...['--listen', `127.0.0.1:${listen}`, '--explicit', `127.0.0.1:${explicit}`],
        ...['--admin', `127.0.0.1:${admin}`, '--state-dir', join(caDir, 'state')],
      ]);
      await agent.logged(({event}) => event === 'tproxy.listening');
      expect(await readyz(admin)).toEqual({
        status: 503,
        ca: expect.stringMatching(/no node-ca\.pem yet.*waiting for the controller's answer .* node node-1/),
      });
      expect(await issuerOf(explicit, '')).not.toMatch(FINGERPRINT);

      start([
        ...['controller', '--kubeconfig', cluster.kubeconfig, '--admin', '127.0.0.1:0', '--identity', 'one'],
        ...['--node-ca-life', '30s'],
      ]);
      await agent.logged(({event}) => event === 'node-ca.issued');
      await until(async () => ((await readyz(admin)).status === 200 ? true : null));
      const root = Buffer.from(
        cluster.kubectl(['get', 'secret', '-n', 'sallyport', 'sallyport-ca', '-o', 'jsonpath={.data.root\\.crt}'])
          .stdout,
        'base64',
      ).toString('utf8');
      const issuerNow = async (): Promise<string | null> => {
        const issuer = await issuerOf(explicit, root);
        return FINGERPRINT.test(issuer) ? issuer : null;
      };
      const first = await until(issuerNow);
      await until(async () => {
        const now = await issuerNow();
        return now !== null && now !== first ? now : null;
      });

      // The controller is gone: what is there signs to its end, and then nothing does.
      await roles.pop()!.stop();
      await until(async () => {
        const {status, ca} = await readyz(admin);
        return status === 503 && /expired at/.test(ca) ? true : null;
      });
      expect(await issuerNow()).toBeNull();
    },
    LONG_MS,
  );
});
