/** While all is Audit the wire is as it was: who trusts the CA is looked into, what cannot be is remembered and passed; and what Enforce changes. */
import {writeFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {createServer as createHttps} from 'node:https';
import {createServer as createTcp} from 'node:net';
import {join} from 'node:path';
import {afterAll, beforeAll, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {createLeafSource, ephemeralCa} from '../../pki/index.ts';
import {eventually} from '../lab/capture-rig.ts';
import {proxiedLab, type JournalLine, type ProxiedLab} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {connectIn} from '../lab/sockets.ts';
import {curl, metric, policy, readyz} from './fault-lab.ts';
import {sealed, tlsEchoServer, webSocket, webSocketEchoServer, type Living} from './living.ts';
import {heard} from '../waiting.ts';

const it = labTest('curl', 'ping');

let world: ProxiedLab;
const sites: Record<string, string> = {};
const opened: Living[] = [];
const rules = (mode: 'Audit' | 'Enforce'): object =>
  policy(
    [
      {name: 'chat', to: {hosts: ['chat.test']}},
      {name: 'sealed', to: {hosts: ['sealed.test'], schemes: ['tls']}},
      {name: 'reads', to: {hosts: ['own-ca.test', 'pinned.test']}, http: {methods: ['GET']}},
    ],
    {mode},
  );

beforeAll(async () => {
  world = await proxiedLab({name: 'audit', policies: [rules('Audit')]});
  const {leaves} = world.ca;
  sites['chat'] = await world.addSite('chat.test', 443, webSocketEchoServer(leaves, 'chat.test'));
  sites['sealed'] = await world.addSite('sealed.test', 443, tlsEchoServer(leaves, 'sealed.test'));
  sites['other'] = await world.addSite('other.test', 443, tlsEchoServer(leaves, 'other.test'));
  const strangers = createLeafSource({ca: ephemeralCa()});
  sites['own-ca'] = await world.addSite(
    'own-ca.test',
    443,
    createHttps({SNICallback: (_, done) => done(null, strangers.context('own-ca.test'))}, (_, response) =>
      response.end('hello'),
    ),
  );
  sites['pinned'] = await world.addSite(
    'pinned.test',
    443,
    createHttps({SNICallback: (_, done) => done(null, leaves.context('pinned.test'))}, (_, response) =>
      response.end('hello'),
    ),
  );
  sites['first'] = await world.addSite(
    'first.test',
    2525,
    createTcp((socket) => {
      socket.on('error', () => undefined);
      socket.write('220 ready\r\n');
    }),
  );
  await world.addSite(
    'plain.test',
    80,
    createServer((_, response) => response.end('hello')),
  );
}, 40_000);
afterAll(async () => {
  for (const one of opened) one.end();
  await world.close();
});

const keep = async (one: Promise<Living>): Promise<Living> => {
  const living = await one;
  opened.push(living);
  expect(await living.echo('before')).toBe(true);
  return living;
};
/** The decision about `name` that fits, now or later. */
const decided = (name: string, fits: Record<string, unknown>): Promise<JournalLine> =>
  world.seen(
    (line) =>
      line.event === 'egress.decision' &&
      (line['name'] === name || String(line['destination']).startsWith(`${name}:`)) &&
      Object.entries(fits).every(([field, value]) => line[field] === value),
  );
const https = (name: string, ...flags: string[]): Promise<string> => curl(world, `https://${name}/`, '-k', ...flags);

it('an upstream that is not verified, and a client that pins: one failure, and passed through from then on', async () => {
  // Seen once, refused; then sealed, and the client sees the server's own certificate.
  expect(await https('own-ca.test')).toBe('502');
  expect(await https('own-ca.test')).toBe('200');
  await decided('own-ca.test', {verdict: 'allow', enforced: false, wouldDeny: 'unknown', reason: 'Uninspectable'});
  // The pod trusts the public roots only, as a program that pins does: it rejects our leaf, and then gets the real one.
  const pins = ['--cacert', world.ca.bundle];
  expect(await curl(world, 'https://pinned.test/', ...pins)).toBe('curl exit 60');
  await world.seen((line) => line['reason'] === 'ClientRejectedLeaf' || line['failure'] === 'ClientRejectedLeaf');
  await eventually(async () => (await curl(world, 'https://pinned.test/', ...pins)) === '200');
  await decided('pinned.test', {wouldDeny: 'unknown', reason: 'Uninspectable'});
}, 60_000);

it('who speaks first is heard, pings and datagrams pass and are counted, what is never reachable is not', async () => {
  const socket = connectIn(world.lab.pod('app').path, {ip: sites['first']!, port: 2525});
  expect(await heard(socket, (text) => text.endsWith('\n'))).toBe('220 ready\r\n');
  socket.destroy();
  const before = await passed();
  expect((await world.lab.exec('app', ['ping', '-c', '2', '-W', '2', sites['first']!])).status).toBe(0);
  expect(await passed()).toBeGreaterThan(before);
  expect(await curl(world, 'http://169.254.169.254/')).toBe('403');
  await decided('169.254.169.254', {verdict: 'deny', reason: 'DestinationForbidden'});
  expect(await curl(world, 'http://plain.test/')).toBe('200');
  await decided('plain.test', {verdict: 'allow', enforced: false, wouldDeny: true});
}, 40_000);

/** Packets that Audit let past without the proxy. */
async function passed(): Promise<number> {
  const text = await world.lab.exec('node', ['curl', '-s', 'http://127.0.0.1:15084/metrics']);
  const values = [...text.stdout.matchAll(/^sallyport_capture_packets\{counter="audit_other"\} (\d+)/gm)];
  return values.reduce((sum, [, count]) => sum + Number(count), 0);
}

it('a workload that trusts the CA now: what is sealed goes on sealed; what it opens next is looked into', async () => {
  await trusts(false);
  const tunnel = await keep(sealed(world, 'captured', sites['other']!, 'other.test'));
  await decided('other.test', {scheme: 'tls', enforced: false, wouldDeny: 'unknown'});
  await trusts(true);
  expect(await tunnel.echo('after')).toBe(true);
}, 40_000);

let trusted = true;
/** Whether the pod's programs trust our CA, as the table says it. */
async function trusts(trustsCa: boolean): Promise<void> {
  if (trustsCa === trusted) return;
  trusted = trustsCa;
  const before = world.journal.length;
  const pod = world.lab.pod('app');
  const entry = {ips: pod.ips, interface: pod.interface, namespace: 'default', name: 'app', trustsCa};
  writeFileSync(join(world.dir, 'workloads.yaml'), stringify([entry]));
  await world.seen((line) => line.event === 'workloads.loaded' && world.journal.indexOf(line) >= before);
  await eventually(async () => (await readyz(world)).workers.current);
}

it('Audit to Enforce and back with connections open: only what is denied then is closed', async () => {
  await trusts(true);
  const chat = await keep(webSocket(world, 'captured', sites['chat']!, 'chat.test'));
  const allowed = await keep(sealed(world, 'captured', sites['sealed']!, 'sealed.test'));
  await trusts(false);
  const other = await keep(sealed(world, 'captured', sites['other']!, 'other.test'));
  world.setPolicy(rules('Enforce'));
  await other.gone;
  expect([await chat.echo('enforced'), await allowed.echo('enforced')]).toEqual([true, true]);
  await world.seen(
    (line) => line.event === 'egress.flow' && line['name'] === 'other.test' && line['failure'] === 'NoRuleMatched',
  );
  expect(await https('own-ca.test')).not.toBe('200');
  const loads = await metric(world, 'sallyport_policy_loads_total{result="ok"}');
  world.setPolicy(rules('Audit'));
  await eventually(async () => (await metric(world, 'sallyport_policy_loads_total{result="ok"}')) > loads);
  await eventually(async () => (await readyz(world)).workers.current);
  expect([await chat.echo('again'), await allowed.echo('again')]).toEqual([true, true]);
  await keep(sealed(world, 'captured', sites['other']!, 'other.test'));
}, 60_000);
