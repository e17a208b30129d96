import {once} from 'node:events';
import {connect, createServer, Socket, type AddressInfo} from 'node:net';
import {describe, expect, test} from '@jest/globals';
import type {DialOptions} from '../capture/sockets.ts';
import type {MtlsMode} from '../../sources/mtls-words.ts';
import {parseWorkloads} from '../../sources/workload-table.ts';
import {heardJournal} from './identity/testing.ts';
import type {MtlsState} from './node.ts';
import {IN_POD, ON_NODE} from './place.ts';
import {WorkerMtls} from './worker.ts';

const POD = '10.0.0.1';
const STATE: MtlsState = {
  entries: parseWorkloads(
    JSON.stringify([{ips: [POD], namespace: 'shop', name: 'a', uid: 'uid-a', labels: {}}]),
    'the test',
  ),
  here: new Map([[POD, 'uid-a']]),
  identities: new Map(),
  services: new Map(),
  whole: false,
};

const worker = (place = ON_NODE, defaultMode: MtlsMode = 'Strict', {journal} = heardJournal()): WorkerMtls =>
  new WorkerMtls(
    {
      identity: {kind: 'files', dir: '/nowhere'},
      ...{trustDomain: 'cluster.local', defaultMode, cidrs: [], peersFile: null},
    },
    STATE,
    journal,
    () => undefined,
    place,
  );
const fail = (error: Error): void => {
  throw error;
};

describe('a worker that does not know everybody yet', () => {
  // The table of an earlier run hands it connections of pods that it does not know: whom it does not know it would let by.
  test('does not listen, so that what the kernel holds is dropped and comes again', async () => {
    const mtls = worker();
    await mtls.listen(fail);
    expect(mtls.listening).toBe(false);
    mtls.apply({...STATE, here: new Map()});
    expect(mtls.listening).toBe(false);
    mtls.close();
  });

  test('dials nothing for a pod: its peer may be one that must not be spoken to in plain', () => {
    const mtls = worker();
    const endpoints = {source: {ip: POD, port: 1}, destination: {ip: '10.0.1.1', port: 80}};
    expect(() => mtls.dial({...endpoints, allowHalfOpen: true})).toThrow(/who is enrolled is not known yet/);
    mtls.close();
  });

  test('what was known stays where a later state is not whole', () => {
    const mtls = worker();
    const peer = parseWorkloads(
      JSON.stringify([{ips: ['10.0.1.1'], namespace: 'shop', name: 'b', uid: 'uid-b', labels: {}}]),
      'the test',
    );
    mtls.apply({...STATE, entries: [...STATE.entries, ...peer], whole: true});
    mtls.apply(STATE);
    expect(mtls.isPeer('10.0.1.1')).toBe(true);
    mtls.close();
  });
});

describe('a living connection', () => {
  const alive = async (destination: string): Promise<boolean> => {
    const server = createServer((far) => far.on('error', () => undefined).resume()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const {port} = server.address() as AddressInfo;
    const mtls = worker({...IN_POD, dialPlain: () => connect(port, '127.0.0.1')});
    mtls.apply({...STATE, whole: true});
    const endpoints = {source: {ip: POD, port: 1}, destination: {ip: destination, port: 80}};
    const socket = mtls.dial({...endpoints, allowHalfOpen: true});
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    const peer = parseWorkloads(
      JSON.stringify([{ips: ['10.0.1.1'], namespace: 'shop', name: 'b', uid: 'uid-b', labels: {}}]),
      'the test',
    );
    mtls.apply({...STATE, entries: [...STATE.entries, ...peer], whole: true});
    mtls.apply({...STATE, entries: [...STATE.entries, ...peer], whole: true});
    const lives = !socket.destroyed;
    socket.destroy();
    server.close();
    mtls.close();
    return lives;
  };

  // By a Service with itself behind it, say: every pod that came or went in the cluster cut it.
  test('of a Strict pod to itself is not cut by changes of others', async () => {
    expect(await alive(POD)).toBe(true);
  });

  test('in plain is cut where its peer becomes a Strict pod of another place', async () => {
    expect(await alive('10.0.1.1')).toBe(false);
  });
});

describe('a worker inside of a pod', () => {
  test('refuses connection number 501 of one address: its memory is the pod’s', async () => {
    const sockets = new Set<Socket>();
    const kept = (socket: Socket): Socket => socket.on('error', () => undefined);
    const program = createServer((socket) => kept(socket).write('hello')).listen(0, '127.0.0.1');
    await once(program, 'listening');
    const {port} = program.address() as AddressInfo;
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const {port: own} = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const heard = heardJournal();
    const place = {
      ...IN_POD,
      ports: [own],
      originalOf: () => ({ip: POD, port: 80}),
      dial: () => connect(port, '127.0.0.1'),
    };
    const mtls = worker(place, 'Permissive', heard);
    mtls.apply({...STATE, whole: true});
    await mtls.listen(fail);
    const ask = (): Promise<string> =>
      new Promise((resolve) => {
        const client = connect(own, '127.0.0.1');
        sockets.add(client);
        client.once('data', (chunk: Buffer) => resolve(chunk.toString()));
        client.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
        client.once('close', () => resolve('closed'));
      });
    for (let opened = 0; opened < 500; opened += 50)
      expect(new Set(await Promise.all(Array.from({length: 50}, ask)))).toEqual(new Set(['hello']));
    expect(await ask()).toBe('ECONNRESET');
    expect(mtls.connections()).toBe(500);
    expect(JSON.stringify(heard.heard)).toContain('more than 500 connections of it are open');
    for (const socket of sockets) socket.destroy();
    mtls.stopListening();
    mtls.close();
    program.close();
  }, 30_000);
});

describe('a Service in front of enrolled pods', () => {
  const table = (endpoints: string[], namespace: string): MtlsState => ({
    ...STATE,
    entries: [
      ...STATE.entries,
      ...parseWorkloads(
        JSON.stringify([{ips: ['10.0.1.1'], namespace: 'shop', name: 'b', uid: 'uid-b', labels: {}}]),
        'the test',
      ),
    ],
    services: new Map([['10.96.0.9', {namespace, groups: [endpoints], ports: new Map([[80, [[0, 8080]]]])}]]),
    whole: true,
  });
  const dialOf = (endpoints: string[], namespace = 'shop', place = ON_NODE): (() => unknown) => {
    const mtls = worker(place);
    mtls.apply(table(endpoints, namespace));
    expect(mtls.isPeer('10.96.0.9')).toBe(true);
    return () => mtls.dial({source: {ip: POD, port: 1}, destination: {ip: '10.96.0.9', port: 80}, allowHalfOpen: true});
  };

  // Without a certificate what is Strict is refused before anything is dialled, which tells who it was meant for.
  test('is one of them: who is behind it is who must show his certificate', () => {
    expect(dialOf(['10.0.1.1'])).toThrow(/no certificate/);
  });

  // CVE-2021-25740: his own Service is let through, and leads to a pod that no policy would let the client reach.
  test('is never a pod of another namespace: whoever may write endpoints in one would say who is reached, and who shows his certificate', () => {
    const dialled: string[] = [];
    const place = {
      ...ON_NODE,
      dialPlain: ({destination: {ip, port}}: DialOptions) => {
        dialled.push(`${ip}:${port}`);
        return new Socket();
      },
    };
    dialOf(['10.0.1.1'], 'theirs', place)();
    // kube-proxy leads there, and the rules of the kernel stand behind it.
    expect(dialled).toEqual(['10.96.0.9:80']);
  });

  test('is another one than who asks: what comes to a pod from its own address is dropped', () => {
    for (let tries = 0; tries < 50; tries++) expect(dialOf([POD, '10.0.1.1'])).toThrow(/no certificate/);
  });

  test('is never an address that nobody’s pod has: who writes endpoints by hand could name any', () => {
    for (let tries = 0; tries < 50; tries++) expect(dialOf(['10.0.1.1', '169.254.169.254'])).toThrow(/no certificate/);
  });
});
