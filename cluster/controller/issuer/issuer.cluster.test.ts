/** The issuer of identities beside a real API server: real tokens, of pods that are there, that are gone, and of others. */
import {once} from 'node:events';
import {request as httpsRequest} from 'node:https';
import {createServer, type AddressInfo} from 'node:net';
import {X509Certificate} from 'node:crypto';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {newKey, workloadRequest} from '../../../pki/index.ts';
import {startIssuing, type Issuing} from '../../../test/cluster/issuing.ts';
import {clusterTest} from '../../../test/cluster/require.ts';
import {startRole, type Role} from '../../../test/cluster/role.ts';
import {until} from '../../../test/waiting.ts';

const LONG_MS = 120_000;
const HOUR_MS = 3_600_000;
const idOf = (namespace: string, serviceAccount: string): string =>
  `spiffe://cluster.local/ns/${namespace}/sa/${serviceAccount}`;

let issuing: Issuing;
let cluster: Issuing['cluster'];
let controller: Role;
let port: number;
beforeAll(async () => {
  issuing = await startIssuing();
  ({cluster} = issuing);
  ({role: controller, port} = await issuing.startIssuer());
}, 180_000);
afterAll(() => issuing?.stop());
const pod: Issuing['pod'] = (...of) => issuing.pod(...of);
const token: Issuing['token'] = (...of) => issuing.token(...of);

interface Said {
  readonly status: number;
  readonly body: {error?: string; message?: string; spiffeId?: string; certificate?: string; roots?: string};
}

function ask(bearer: string | null, body: unknown, at = port): Promise<Said> {
  return new Promise((resolve, reject) => {
    const asking = httpsRequest(
      {
        ...{host: 'localhost', port: at, method: 'POST', path: '/v1/identity', agent: false, rejectUnauthorized: false},
        headers: {
          'content-type': 'application/json',
          ...(bearer === null ? {} : {authorization: `Bearer ${bearer}`}),
        },
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => (text += part));
        answer.once('end', () => resolve({status: answer.statusCode!, body: JSON.parse(text) as Said['body']}));
        answer.once('error', reject);
      },
    );
    asking.once('error', reject);
    asking.end(JSON.stringify(body));
  });
}
const requestOf = (spiffeId: string): string => workloadRequest(spiffeId, newKey());

describe('a pod with its own token', () => {
  clusterTest()(
    'has the identity of its ServiceAccount, for hours, and the journal says who has what until when',
    async () => {
      const web = pod('web', 'node-1');
      const {status, body} = await ask(token('shop', 'web', web), {request: requestOf(idOf('shop', 'web'))});
      expect([status, body.spiffeId]).toEqual([200, idOf('shop', 'web')]);
      const x509 = new X509Certificate(body.certificate!);
      expect([x509.subjectAltName, x509.ca]).toEqual([`URI:${idOf('shop', 'web')}`, false]);
      expect(Date.parse(x509.validTo) - Date.now()).toBeLessThanOrEqual(12 * HOUR_MS);
      expect(x509.verify(new X509Certificate(body.roots!).publicKey)).toBe(true);
      const {message} = await controller.logged(
        ({event, message}) => event === 'identity.issued' && message.includes(web.name),
      );
      expect(message).toMatch(
        /^spiffe:\S+ to pod shop\/web-\d+ until 2\S+Z, asked for by system:serviceaccount:shop:web on node node-1$/,
      );
    },
    LONG_MS,
  );

  clusterTest()(
    'has no other: who he is, is what his token says, and not what the request says',
    async () => {
      const web = pod('web', 'node-1');
      for (const other of [
        idOf('shop', 'admin'),
        idOf('sallyport', 'sallyport-node'),
        'spiffe://other.example/ns/shop/sa/web',
      ])
        expect(await ask(token('shop', 'web', web), {request: requestOf(other)})).toMatchObject({
          status: 403,
          body: {error: 'WrongName'},
        });
    },
    LONG_MS,
  );

  clusterTest()(
    'cannot ask for another pod: that is for agents',
    async () => {
      const [web, admin] = [pod('web', 'node-1'), pod('admin', 'node-1')];
      expect(
        await ask(token('shop', 'web', web), {request: requestOf(idOf('shop', 'admin')), pod: admin}),
      ).toMatchObject({status: 403, body: {error: 'NotAnAgent'}});
    },
    LONG_MS,
  );
});

describe('a replica whose certificate is not there', () => {
  // Where mTLS is switched on the leader knows nothing of it, and goes when its successor is ready: it would wait for ever.
  clusterTest()(
    'is ready all the same: who makes it may come after it',
    async () => {
      const free = createServer().listen(0, '127.0.0.1');
      await once(free, 'listening');
      const admin = (free.address() as AddressInfo).port;
      await new Promise((resolve) => free.close(resolve));
      const role = startRole([
        ...['controller', '--kubeconfig', cluster.kubeconfig, '--identity', 'too-early', '--issuer', '*:0'],
        ...['--admin', `127.0.0.1:${admin}`, '--serving-certificates', 'external', '--issuer-secret', 'not-yet'],
      ]);
      try {
        await role.logged(({event}) => event === 'issuer.waiting');
        await until(
          () =>
            fetch(`http://127.0.0.1:${admin}/readyz`).then(
              ({status}) => status,
              () => 0,
            ),
          (status) => status === 200,
        );
      } finally {
        await role.stop();
      }
    },
    LONG_MS,
  );
});

describe('a certificate of the issuer that is renewed', () => {
  clusterTest()(
    'and is bad is said, and the last one goes on; a good one is taken after it',
    async () => {
      const get = ['get', 'secret', '-n', 'sallyport', 'sallyport-issuer-tls', '-o', 'json'];
      const {data} = JSON.parse(cluster.kubectl(get).stdout) as {data: Record<string, string>};
      const bring = (verb: string, keyPem: string | null): void => {
        const renewed = keyPem === null ? data : {...data, 'tls.key': Buffer.from(keyPem).toString('base64')};
        const metadata = {name: 'renewed-tls', namespace: 'sallyport'};
        const secret = {apiVersion: 'v1', kind: 'Secret', metadata, data: renewed};
        expect(cluster.kubectl([verb, '-f', '-'], JSON.stringify(secret))).toMatchObject({status: 0});
      };
      bring('create', null);
      const {role, port: at} = await issuing.startIssuer('--issuer-secret', 'renewed-tls');
      bring('replace', newKey().key.export({type: 'pkcs8', format: 'pem'}) as string);
      const {message} = await role.logged(({event}) => event === 'issuer.failed');
      expect(message).toMatch(/^the Secret renewed-tls: .*; the last certificate stays$/);
      expect((await ask(null, {}, at)).status).toBe(400);
      bring('replace', null);
      await role.logged(({event}) => event === 'issuer.certificate');
    },
    LONG_MS,
  );
});

describe('what is no token of a pod for us', () => {
  clusterTest()(
    'one of another audience, of no pod, of a pod that is gone, and what is none',
    async () => {
      const web = pod('web', 'node-1');
      const gone = pod('web', 'node-1');
      const ofGone = token('shop', 'web', gone);
      const request = requestOf(idOf('shop', 'web'));
      expect((await ask(ofGone, {request})).status).toBe(200);
      cluster.kubectl(['delete', 'pod', '-n', 'shop', gone.name, '--grace-period=0', '--force', '--wait=true']);
      // The API server looks at the pod through a cache of its own.
      const refusedThen = async (): Promise<Said> => {
        for (const deadline = Date.now() + LONG_MS / 2; ;) {
          const said = await ask(ofGone, {request});
          if (said.status !== 200 || Date.now() > deadline) return said;
          await new Promise((resolve) => setTimeout(resolve, 1_000));
        }
      };
      expect(await refusedThen()).toMatchObject({status: 401, body: {error: 'NotAuthenticated'}});
      const good = token('shop', 'web', web);
      const cases: [string | null, number, string][] = [
        [token('shop', 'web', web, 'https://kubernetes.default.svc.cluster.local'), 401, 'NotAuthenticated'],
        [token('shop', 'web', web, 'somebody-else'), 401, 'NotAuthenticated'],
        [token('shop', 'web', null), 403, 'TokenNotBound'],
        [`${good.slice(0, -8)}AAAAAAAA`, 401, 'NotAuthenticated'],
        ['x', 401, 'NotAuthenticated'],
        [null, 400, 'BadRequest'],
      ];
      for (const [bearer, status, error] of cases)
        expect(await ask(bearer, {request})).toMatchObject({status, body: {error}});
      expect((await ask(good, {request})).status).toBe(200);
      const {message} = await controller.logged(
        ({event, message}) => event === 'identity.refused' && message.includes('TokenNotBound'),
      );
      expect(message).toMatch(/^somebody at \S+: TokenNotBound: /);
      for (const line of controller.lines) expect(line.message).not.toContain(good.slice(-40));
    },
    LONG_MS,
  );

  clusterTest()(
    'questions that are none are refused without a word to the API server',
    async () => {
      const good = token('shop', 'web', pod('web', 'node-1'));
      const request = requestOf(idOf('shop', 'web'));
      for (const body of [
        {},
        {request: 1},
        {request, extra: 1},
        {request, pod: {namespace: '../..', name: 'a', uid: 'b'}},
        [],
        {request: 'x'},
      ])
        expect(await ask(good, body)).toMatchObject({status: 400, body: {error: 'BadRequest'}});
      expect((await ask(good, {request: 'x'.repeat(20_000)})).status).toBe(413);
    },
    LONG_MS,
  );
});

describe("a node's agent", () => {
  const agentOn = (node: string): string =>
    token('sallyport', 'sallyport-node', pod('sallyport-node', node, {namespace: 'sallyport'}));

  clusterTest()(
    'has the identities of pods of its node, and of no other',
    async () => {
      const [here, there] = [pod('web', 'node-1'), pod('admin', 'node-2')];
      const agent = agentOn('node-1');
      expect(await ask(agent, {request: requestOf(idOf('shop', 'web')), pod: here})).toMatchObject({
        status: 200,
        body: {spiffeId: idOf('shop', 'web')},
      });
      await controller.logged(
        ({event, message}) =>
          event === 'identity.issued' && /to pod shop\/web-\d+ .*sallyport-node on node node-1$/.test(message),
      );
      expect(await ask(agent, {request: requestOf(idOf('shop', 'admin')), pod: there})).toMatchObject({
        status: 403,
        body: {error: 'WrongNode'},
      });
      expect(await ask(agentOn('node-2'), {request: requestOf(idOf('shop', 'admin')), pod: there})).toMatchObject({
        status: 200,
      });
      // Another's ServiceAccount, by a pod that is here.
      expect(await ask(agent, {request: requestOf(idOf('shop', 'admin')), pod: here})).toMatchObject({
        status: 403,
        body: {error: 'WrongName'},
      });
    },
    LONG_MS,
  );

  clusterTest()(
    'has none of a pod that is not there, of another of the same name, that has ended, or that is on the network of the node',
    async () => {
      const agent = agentOn('node-1');
      const web = pod('web', 'node-1');
      const ended = pod('web', 'node-1');
      const status = JSON.stringify({status: {phase: 'Succeeded'}});
      cluster.kubectl(['patch', 'pod', '-n', 'shop', ended.name, '--subresource=status', '--type=merge', '-p', status]);
      const request = requestOf(idOf('shop', 'web'));
      for (const asked of [
        {...web, name: 'no-such-pod'},
        {...web, uid: 'another'},
        ended,
        pod('web', 'node-1', {hostNetwork: true}),
      ])
        expect(await ask(agent, {request, pod: asked})).toMatchObject({status: 403, body: {error: 'NoSuchPod'}});
    },
    LONG_MS,
  );

  clusterTest()(
    'with a token that is bound to no pod has none',
    async () => {
      const unbound = token('sallyport', 'sallyport-node', null);
      expect(await ask(unbound, {request: requestOf(idOf('shop', 'web')), pod: pod('web', 'node-1')})).toMatchObject({
        status: 403,
        body: {error: 'TokenNotBound'},
      });
    },
    LONG_MS,
  );
});

describe('the CA of workloads', () => {
  const secret = (name: string): {data: Record<string, string>} =>
    JSON.parse(cluster.kubectl(['get', 'secret', '-n', 'sallyport', name, '-o', 'json']).stdout) as {
      data: Record<string, string>;
    };

  clusterTest()(
    'is in no trust bundle of pods, and is another one than theirs; how the issuer is known is beside them',
    async () => {
      await controller.logged(
        ({event, message}) => event === 'trust.applied' && message.includes('namespace sallyport'),
      );
      const root = Buffer.from(secret('sallyport-mtls-ca').data['root.crt']!, 'base64').toString('utf8');
      const bundle = (): {data: Record<string, string>} =>
        JSON.parse(
          cluster.kubectl(['get', 'configmap', '-n', 'sallyport', 'sallyport-trust', '-o', 'json']).stdout,
        ) as {data: Record<string, string>};
      for (
        const deadline = Date.now() + LONG_MS / 2;
        bundle().data['issuer-ca.crt'] === undefined && Date.now() < deadline;
      )
        await new Promise((resolve) => setTimeout(resolve, 200));
      const {data} = bundle();
      const lines = root.split('\n')[3]!;
      for (const text of Object.values(data)) expect(text).not.toContain(lines);
      expect(secret('sallyport-ca').data['root.crt']).not.toBe(secret('sallyport-mtls-ca').data['root.crt']);
      expect(Object.keys(data).filter((key) => data[key]!.includes(data['issuer-ca.crt']!.split('\n')[3]!))).toEqual([
        'issuer-ca.crt',
      ]);
    },
    LONG_MS,
  );

  clusterTest()(
    'that is the one which pods trust for sites is refused: nobody has an identity by it',
    async () => {
      await controller.logged(({event}) => event === 'trust.applied');
      const {data} = secret('sallyport-ca');
      issuing.create({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: {name: 'shared-ca', namespace: 'sallyport'},
        data: {'root.crt': data['root.crt'], 'root.key': data['root.key']},
      });
      const {role, port: at} = await issuing.startIssuer('--identity-ca-secret', 'shared-ca');
      await role.logged(({event, message}) => event === 'issuer.failed' && message.includes('CaShared'));
      const web = pod('web', 'node-1');
      expect(await ask(token('shop', 'web', web), {request: requestOf(idOf('shop', 'web'))}, at)).toMatchObject({
        status: 503,
        body: {error: 'Failed'},
      });
    },
    LONG_MS,
  );
});
