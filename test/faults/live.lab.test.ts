/** A change of policy reaches the connections that live: the denied ones are closed and the reason logged, the others left alone. */
import {afterEach, describe, expect} from '@jest/globals';
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {proxiedLab, type JournalLine, type ProxiedLab, type ProxiedOptions} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {listenIn} from '../lab/sockets.ts';
import {policy} from './fault-lab.ts';
import {
  echoServer,
  opaque,
  sealed,
  streamEchoServer,
  streams,
  tlsEchoServer,
  webSocket,
  webSocketEchoServer,
  type Living,
} from './living.ts';
import {parent, upstreamProxy, type Parent} from './parent.ts';

const it = labTest('curl');

let world: ProxiedLab | null = null;
const opened: Living[] = [];
let proxy: Parent | null = null;
afterEach(async () => {
  for (const one of opened.splice(0)) one.end();
  proxy?.cut();
  proxy?.server.close();
  proxy = null;
  await world?.close();
  world = null;
});

const PARENT = '5.6.60.1';
const TCP_PORT = 5432;
const rules = {
  sealed: (...hosts: string[]) => ({name: 'sealed', to: {hosts, schemes: ['tls']}}),
  bytes: (...hosts: string[]) => ({name: 'bytes', to: {hosts, schemes: ['tcp'], ports: [TCP_PORT]}}),
  seen: (...hosts: string[]) => ({name: 'seen', to: {hosts}}),
};
const EVERYTHING = [
  rules.sealed('sealed.test', 'other-sealed.test', 'parent-sealed.test'),
  rules.bytes('bytes.test', 'other-bytes.test'),
  rules.seen('chat.test', 'other-chat.test', 'grpc.test'),
];

interface Sites {
  readonly sealed: string;
  readonly otherSealed: string;
  readonly parentSealed: string;
  readonly bytes: string;
  readonly otherBytes: string;
  readonly chat: string;
  readonly otherChat: string;
  readonly grpc: string;
}

async function open(options: Partial<ProxiedOptions> = {}): Promise<{w: ProxiedLab; sites: Sites}> {
  const w = (world = await proxiedLab({name: 'live', policies: [policy(EVERYTHING)], ...options}));
  const {leaves} = w.ca;
  const sites = {
    sealed: await w.addSite('sealed.test', 443, tlsEchoServer(leaves, 'sealed.test')),
    otherSealed: await w.addSite('other-sealed.test', 443, tlsEchoServer(leaves, 'other-sealed.test')),
    parentSealed: await w.addSite('parent-sealed.test', 443, tlsEchoServer(leaves, 'parent-sealed.test')),
    bytes: await w.addSite('bytes.test', TCP_PORT, echoServer()),
    otherBytes: await w.addSite('other-bytes.test', TCP_PORT, echoServer()),
    chat: await w.addSite('chat.test', 443, webSocketEchoServer(leaves, 'chat.test')),
    otherChat: await w.addSite('other-chat.test', 443, webSocketEchoServer(leaves, 'other-chat.test')),
    grpc: await w.addSite('grpc.test', 443, streamEchoServer(leaves, 'grpc.test')),
  };
  const carrying = (proxy = parent(() => w, {'parent-sealed.test': sites.parentSealed, 'chat.test': sites.chat}));
  await w.lab.internet.addAddress(PARENT);
  await listenIn(w.lab.internet.path, carrying.server, PARENT, 3128);
  return {w, sites};
}

const keep = async (one: Promise<Living>): Promise<Living> => {
  const living = await one;
  opened.push(living);
  expect(await living.echo('before')).toBe(true);
  return living;
};

/** The flow line by which a connection to `name` was ended, with its reason. */
const ended = (w: ProxiedLab, fits: (line: JournalLine) => boolean): Promise<JournalLine> =>
  w.seen((line) => line.event === 'egress.flow' && line['failure'] !== null && fits(line));

it('each kind of connection that is denied now is closed with the reason, and its neighbour is not touched', async () => {
  const corp = upstreamProxy([`http://${PARENT}:3128`], {hosts: ['parent-sealed.test']});
  const {w, sites} = await open({policies: [policy(EVERYTHING), corp]});
  const denied: Record<string, Living> = {
    sealed: await keep(sealed(w, 'captured', sites.sealed, 'sealed.test')),
    explicit: await keep(sealed(w, 'explicit', sites.sealed, 'sealed.test')),
    parent: await keep(sealed(w, 'captured', sites.parentSealed, 'parent-sealed.test')),
    bytes: await keep(opaque(w, sites.bytes, TCP_PORT)),
    chat: await keep(webSocket(w, 'captured', sites.chat, 'chat.test')),
    explicitChat: await keep(webSocket(w, 'explicit', sites.chat, 'chat.test')),
  };
  expect(proxy!.heads).toHaveLength(1);
  const [allowedStream, deniedStream] = await streams(w, 'captured', sites.grpc, 'grpc.test', [
    '/a.A/Bidi',
    '/b.B/Bidi',
  ]);
  opened.push(allowedStream!, deniedStream!);
  expect([await allowedStream!.echo('before'), await deniedStream!.echo('before')]).toEqual([true, true]);
  const kept: Record<string, Living> = {
    sealed: await keep(sealed(w, 'captured', sites.otherSealed, 'other-sealed.test')),
    explicit: await keep(sealed(w, 'explicit', sites.otherSealed, 'other-sealed.test')),
    bytes: await keep(opaque(w, sites.otherBytes, TCP_PORT)),
    chat: await keep(webSocket(w, 'captured', sites.otherChat, 'other-chat.test')),
    stream: allowedStream!,
  };

  w.setPolicy(
    policy([
      rules.sealed('other-sealed.test'),
      rules.bytes('other-bytes.test'),
      {name: 'seen', to: {hosts: ['other-chat.test']}},
      {name: 'calls', to: {hosts: ['grpc.test']}, http: {paths: ['/a.A/**']}},
    ]),
    corp,
  );
  await Promise.all([...Object.values(denied), deniedStream!].map((one) => one.gone));
  for (const [what, one] of Object.entries(kept)) expect([what, await one.echo('after')]).toEqual([what, true]);
  for (const [name, protocol, count] of [
    ['sealed.test', 'tls', 2],
    ['parent-sealed.test', 'tls', 1],
    ['chat.test', 'websocket', 2],
    ['grpc.test', 'grpc', 1],
  ] as const) {
    const isOf = (line: JournalLine): boolean => String(line['name']).split(':')[0] === name;
    await ended(w, isOf);
    const lines = w.journal.filter((line) => line.event === 'egress.flow' && isOf(line));
    expect([name, lines.map((line) => [line['protocol'], line['failure']])]).toEqual([
      name,
      Array.from({length: count}, () => [protocol, 'NoRuleMatched']),
    ]);
    expect(lines[0]!['message']).toMatch(/^The policy changed: No Allow rule matches/);
  }
  await ended(w, (line) => line['destination'] === `${sites.bytes}:${TCP_PORT}` && line['failure'] === 'NoRuleMatched');
}, 60_000);

describe("the workload's own change", () => {
  const selected = policy(EVERYTHING, {podSelector: {matchLabels: {role: 'web'}}});
  const table = (w: ProxiedLab, fields: object): void => {
    const pod = w.lab.pod('app');
    const entry = {
      ips: pod.ips,
      interface: pod.interface,
      namespace: 'default',
      name: 'app',
      trustsCa: true,
      ...fields,
    };
    writeFileSync(join(w.dir, 'workloads.yaml'), stringify([entry]));
  };

  it('its label goes: what the policy that selected it allowed is closed; a label more changes nothing', async () => {
    const {w, sites} = await open({policies: [selected], workload: {labels: {role: 'web'}}});
    const chat = await keep(webSocket(w, 'captured', sites.chat, 'chat.test'));
    const tunnel = await keep(sealed(w, 'captured', sites.sealed, 'sealed.test'));
    table(w, {labels: {role: 'web', more: 'yes'}});
    await w.seen((line) => line.event === 'workloads.loaded');
    expect([await chat.echo('after'), await tunnel.echo('after')]).toEqual([true, true]);
    table(w, {labels: {more: 'yes'}});
    await Promise.all([chat.gone, tunnel.gone]);
    await ended(w, (line) => line['failure'] === 'NoPolicySelects' && line['name'] === 'chat.test');
    await ended(w, (line) => line['failure'] === 'NoPolicySelects' && line['name'] === 'sealed.test');
  }, 40_000);

  it('its namespace loses the label that a cluster policy selects by', async () => {
    const {w, sites} = await open({
      policies: [
        {
          apiVersion: 'sallyport.dev/v1alpha1',
          kind: 'ClusterEgressPolicy',
          metadata: {name: 'web'},
          spec: {namespaceSelector: {matchLabels: {team: 'a'}}, podSelector: {}, rules: EVERYTHING},
        },
      ],
    });
    table(w, {namespaceLabels: {team: 'a'}});
    await w.seen((line) => line.event === 'workloads.loaded');
    const chat = await keep(webSocket(w, 'captured', sites.chat, 'chat.test'));
    table(w, {namespaceLabels: {team: 'b'}});
    await chat.gone;
    await ended(w, (line) => line['failure'] === 'NoPolicySelects');
  }, 40_000);

  it('another workload has its address, or none has: its connections are cut, and it is said', async () => {
    const {w, sites} = await open();
    const chat = await keep(webSocket(w, 'captured', sites.chat, 'chat.test'));
    const tunnel = await keep(opaque(w, sites.bytes, TCP_PORT));
    table(w, {name: 'another'});
    await Promise.all([chat.gone, tunnel.gone]);
    await w.seen((line) => line.event === 'relay.workload-gone' && line['before'] === 'default/app');
    const again = await keep(sealed(w, 'captured', sites.sealed, 'sealed.test'));
    writeFileSync(join(w.dir, 'workloads.yaml'), '[]\n');
    await again.gone;
    await w.seen((line) => line.event === 'relay.workload-gone' && line['before'] === 'default/another');
  }, 40_000);

  it('it trusts the CA now, or no more: under Enforce nothing is touched', async () => {
    const {w, sites} = await open();
    const chat = await keep(webSocket(w, 'captured', sites.chat, 'chat.test'));
    const tunnel = await keep(sealed(w, 'captured', sites.sealed, 'sealed.test'));
    table(w, {trustsCa: false});
    await w.seen((line) => line.event === 'workloads.loaded');
    expect([await chat.echo('after'), await tunnel.echo('after')]).toEqual([true, true]);
  }, 40_000);
});

describe('the UpstreamProxy that carries it', () => {
  const corp = (hosts: readonly string[], port = 3128): object => upstreamProxy([`http://${PARENT}:${port}`], {hosts});

  it('what went direct and is to go through a parent now is closed: a proxy that can be gone around is none', async () => {
    const {w, sites} = await open();
    const tunnel = await keep(sealed(w, 'captured', sites.parentSealed, 'parent-sealed.test'));
    const chat = await keep(webSocket(w, 'captured', sites.chat, 'chat.test'));
    const kept = await keep(sealed(w, 'captured', sites.sealed, 'sealed.test'));
    w.setPolicy(policy(EVERYTHING), corp(['parent-sealed.test', 'chat.test']));
    await Promise.all([tunnel.gone, chat.gone]);
    const line = await ended(w, (line) => line['name'] === 'parent-sealed.test');
    expect(line['message']).toMatch(/The policy changed: it goes through the UpstreamProxy corp now/);
    expect(await kept.echo('after')).toBe(true);
    await keep(sealed(w, 'captured', sites.parentSealed, 'parent-sealed.test'));
    expect(proxy!.heads.at(-1)).toMatch(/^CONNECT parent-sealed.test:443/);
  }, 40_000);

  it('what went through a parent and is to go direct now is closed; a parent with other endpoints is left alone', async () => {
    const {w, sites} = await open({policies: [policy(EVERYTHING), corp(['parent-sealed.test'])]});
    const tunnel = await keep(sealed(w, 'captured', sites.parentSealed, 'parent-sealed.test'));
    const before = w.journal.length;
    w.setPolicy(policy(EVERYTHING), corp(['parent-sealed.test'], 3129));
    await w.seen((line) => line.event === 'policy.loaded' && w.journal.indexOf(line) >= before);
    expect(await tunnel.echo('after')).toBe(true);
    w.setPolicy(policy(EVERYTHING));
    await tunnel.gone;
    const line = await ended(w, (line) => line['name'] === 'parent-sealed.test');
    expect(line['message']).toMatch(/The policy changed: it goes direct now/);
  }, 40_000);
});
