/** The node's own addresses are nobody's destination, also those that it got after the proxy started (DESIGN §10.3). */
import {createServer} from 'node:http';
import {afterAll, beforeAll, expect} from '@jest/globals';
import {proxiedLab, type ProxiedLab} from '../test/lab/proxied.ts';
import {labTest} from '../test/lab/require.ts';
import {listenIn} from '../test/lab/sockets.ts';

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'wide', namespace: 'default'},
  spec: {
    podSelector: {},
    rules: [
      {name: 'names', to: {hosts: ['*'], schemes: ['http']}},
      {name: 'addresses', to: {cidrs: ['0.0.0.0/0'], schemes: ['http']}},
    ],
  },
};
/** Public ones: no rule has to name them, unless they are the node's. */
const OF_LO = '5.6.99.1';
const OF_LATER = '5.6.99.2';

let world: ProxiedLab;
const onNode = createServer((_request, response) => response.end('the node'));
const it = labTest('curl');

beforeAll(async () => {
  world = await proxiedLab({name: 'own', policies: [POLICY]});
  await world.addSite(
    'site.test',
    80,
    createServer((_request, response) => response.end('the site')),
  );
  await listenIn(world.lab.node.path, onNode, '0.0.0.0', 80);
}, 60_000);
afterAll(async () => {
  onNode.close();
  await world?.close();
});

const curl = async (url: string): Promise<string> =>
  (await world.lab.exec('app', ['curl', '-sS', '-m', '10', '-w', ' %{http_code}', url])).stdout;

it('an address that the node gets while the proxy runs is refused, on lo and on an interface', async () => {
  expect(await curl('http://site.test/')).toBe('the site 200');
  expect(await curl('http://10.78.0.1/')).toContain('DestinationForbidden');
  const exec: typeof world.lab.exec = (where, argv) => world.lab.exec(where, argv);
  expect((await exec('node', ['ip', 'address', 'add', `${OF_LO}/32`, 'dev', 'lo'])).status).toBe(0);
  expect((await exec('node', ['ip', 'link', 'add', 'later0', 'type', 'bridge'])).status).toBe(0);
  expect((await exec('node', ['ip', 'link', 'set', 'later0', 'up'])).status).toBe(0);
  expect((await exec('node', ['ip', 'address', 'add', `${OF_LATER}/32`, 'dev', 'later0'])).status).toBe(0);
  for (const ip of [OF_LO, OF_LATER]) {
    // When the workers have heard of it is not said. Until then it is connected to, but nothing is sent: never "the node".
    let answer = await curl(`http://${ip}/`);
    while (answer.includes('address of this node')) answer = await curl(`http://${ip}/`);
    expect(answer).toMatch(/DestinationForbidden[^]* 403$/);
  }
}, 60_000);
