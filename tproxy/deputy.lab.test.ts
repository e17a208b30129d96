/** The proxy is no deputy of the node's (DESIGN §4): inside the cluster a destination sees the pod, not the node. */
import {createServer, type Server} from 'node:http';
import {afterEach, beforeEach, expect} from '@jest/globals';
import {listenIn} from '../test/lab/index.ts';
import {proxiedLab, type ProxiedLab} from '../test/lab/proxied.ts';
import {labTest} from '../test/lab/require.ts';

const it = labTest('curl');
const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'inside', namespace: 'default'},
  spec: {
    podSelector: {},
    rules: [{name: 'pods', to: {cidrs: ['10.77.0.0/24', 'fd77::/64'], schemes: ['http'], ports: [8080]}}],
  },
};

let world: ProxiedLab;
let servers: Server[];
beforeEach(async () => {
  world = await proxiedLab({
    name: 'deputy',
    policies: [POLICY],
    flags: ['--pod-cidr', '10.77.0.0/24', '--pod-cidr', 'fd77::/64'],
  });
  servers = [];
  const free = world.lab.pod('free');
  for (const ip of free.ips) {
    const server = createServer((request, response) => response.end(request.socket.remoteAddress));
    await listenIn(free.path, server, ip, 8080);
    servers.push(server);
  }
}, 30_000);
afterEach(async () => {
  for (const server of servers) server.close();
  await world.close();
});

it('another pod sees the address of the pod that asks, over IPv4 and IPv6', async () => {
  const {lab} = world;
  const [app, free] = [lab.pod('app'), lab.pod('free')];
  const ask = async (url: string): Promise<string> => (await lab.exec('app', ['curl', '-s', '-m', '10', url])).stdout;
  expect(await ask(`http://${free.ip4}:8080/`)).toBe(app.ip4);
  expect(await ask(`http://[${free.ip6}]:8080/`)).toBe(app.ip6);
  await world.seen((line) => line.event === 'egress.flow' && line['rule'] === 'pods' && line['status'] === 200);
}, 30_000);
