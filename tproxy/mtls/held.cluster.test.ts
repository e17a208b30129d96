/** A pod that a policy holds, on a node of a real API server, to Strict pods of other nodes: by the address of their Service. */
import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {createServer, type Server, type TLSSocket} from 'node:tls';
import {afterEach, expect} from '@jest/globals';
import {clusterWorld, LONG_MS, nodeTest, policyOf, ready} from '../../test/lab/cluster-world.ts';
import type {ClusterNode, JournalLine} from '../../test/lab/cluster-node.ts';
import {endServer, listenIn} from '../../test/lab/index.ts';
import {spiffeIdOf} from '../../test/lab/mtls/labs.ts';
import {until} from '../../test/waiting.ts';
import {IDENTITY_FILES} from './identity/files.ts';
import {testIdentity, testWorkloadCa} from './identity/testing.ts';
import {MTLS_ALPN} from './wire/contexts.ts';

/** The control plane's (test/cluster/control-plane.ts). */
const SERVICES = '10.233.0.0/16';
/** Pods of other nodes; what is sent there leaves the node. */
const PODS = '10.244.0.0/16';
const DB = '10.244.1.6';
const PORT = 8080;

const it = nodeTest();
const world = clusterWorld();
const ca = testWorkloadCa();
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) endServer(server);
});

/** As the agent of the database's node takes connections, with what it unwraps answered. `seen`: by whom it was asked, from where. */
async function databaseAs(node: ClusterNode, serviceAccount: string): Promise<{seen: string[]}> {
  const {keyPem: key, chainPem: cert, rootsPem} = testIdentity(ca, spiffeIdOf(serviceAccount));
  const seen: string[] = [];
  const answer = (socket: TLSSocket): void => {
    socket.on('error', () => undefined);
    socket.on('data', () => {
      seen.push(`${socket.getPeerX509Certificate()?.subjectAltName} from ${socket.remoteAddress}`);
      socket.write('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok');
    });
  };
  const options = {
    key,
    cert,
    ca: rootsPem,
    requestCert: true,
    minVersion: 'TLSv1.3',
    ALPNProtocols: [MTLS_ALPN],
  } as const;
  const server = createServer(options, answer).on('tlsClientError', () => undefined);
  servers.push(server);
  await listenIn(node.lab.internet.path, server, DB, PORT);
  return {seen};
}

const pod = (name: string, serviceAccountName: string, nodeName: string): object => ({
  ...{apiVersion: 'v1', kind: 'Pod'},
  metadata: {name, namespace: 'shop', labels: {app: name, 'sallyport.dev/mtls': 'Strict'}},
  spec: {
    ...{serviceAccountName, nodeName, automountServiceAccountToken: false},
    containers: [{name: 'app', image: 'a'}],
  },
});

it(
  'is wrapped to a pod behind it, whom the certificate must name; one that is written there by hand and nobody’s pod has is not dialled',
  async () => {
    for (const name of ['web', 'db']) world.done(['create', 'serviceaccount', name, '-n', 'shop']);
    const node = await world.open();
    await node.lab.internet.addAddress(DB);
    world.apply(pod('web', 'web', node.name));
    const {ips} = await node.plugIn('web');
    node.setAddress({namespace: 'shop', name: 'web'}, ips);
    world.apply(pod('db', 'db', 'another-node'));
    node.setAddress({namespace: 'shop', name: 'db'}, [DB]);
    world.apply({
      ...{apiVersion: 'v1', kind: 'Service', metadata: {namespace: 'shop', name: 'db'}},
      spec: {ports: [{port: 80, targetPort: PORT}]},
    });
    const slice = (...addresses: string[]): void =>
      world.apply({
        ...{apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4'},
        metadata: {namespace: 'shop', name: 'db-1', labels: {'kubernetes.io/service-name': 'db'}},
        endpoints: addresses.map((address) => ({addresses: [address], conditions: {ready: true}})),
        ports: [{name: '', port: PORT, protocol: 'TCP'}],
      });
    // The second is nobody's pod.
    slice(DB, '10.244.9.9');
    const {stdout: service} = world.cluster.kubectl('get service -n shop db -o jsonpath={.spec.clusterIP}'.split(' '));
    world.apply(policyOf('shop', 'reach', service));

    const identity = testIdentity(ca, spiffeIdOf('web'));
    const dir = join(node.dir, 'identity');
    mkdirSync(dir);
    for (const [key, file] of Object.entries(IDENTITY_FILES))
      writeFileSync(join(dir, file), identity[key as keyof typeof IDENTITY_FILES]);
    const agent = await node.startAgent(
      ...['--mtls', '--mtls-identity', dir, '--service-cidr', SERVICES, '--pod-cidr', PODS],
    );
    await ready(agent);
    const refused = (says: RegExp): Promise<JournalLine> =>
      agent.logged(({event, message}) => event === 'mtls.refused' && says.test(message!));

    // Somebody who has taken the address, with a certificate of our CA.
    const impostor = await databaseAs(node, 'somebody');
    expect(await node.curl('web', `http://${service}/`)).toBe('502');
    await refused(/its address is of spiffe:\/\/cluster.local\/ns\/shop\/sa\/db/);
    expect(impostor.seen).toEqual([]);
    endServer(servers.pop()!);

    const {seen} = await databaseAs(node, 'db');
    const tries = 12;
    for (let i = 0; i < tries; i++) expect(await node.curl('web', `http://${service}/`)).toBe('200');
    expect(seen).toEqual(Array.from({length: tries}, () => `URI:${spiffeIdOf('web')} from ${ips[0]}`));

    // Nothing behind it is ready any more: the table follows.
    slice();
    await until(
      () => node.curl('web', `http://${service}/`),
      (status) => status === '502' || status === '504',
      {said: agent.said},
    );
  },
  LONG_MS,
);
