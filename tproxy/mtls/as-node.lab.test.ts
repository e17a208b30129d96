/** What the relay dials under the node's own address: for whom it is, the rules are told by its mark, also when that changes. */
import {createServer, type Server, type Socket} from 'node:net';
import {afterAll, beforeAll, expect} from '@jest/globals';
import type {WorkloadEntry} from '../../sources/workload-table.ts';
import {parseWorkloads} from '../../sources/workload-table.ts';
import type {MtlsMode} from '../../sources/mtls-words.ts';
import {createLab, endServer, listenIn, type Lab} from '../../test/lab/index.ts';
import {labTest} from '../../test/lab/require.ts';
import {getOption, SYS} from '../capture/libc.ts';
import {DEFAULT_MARKS} from '../capture/marks.ts';
import {fdOf} from '../capture/sockets.ts';
import {asNodeMark} from './capture/marks.ts';
import {heardJournal} from './identity/testing.ts';
import type {MtlsState} from './node.ts';
import {WorkerMtls} from './worker.ts';

const it = labTest('ip');
const POD = '10.77.0.10';
let lab: Lab;
let server: Server;
beforeAll(async () => {
  lab = await createLab({name: 'asnode', pods: []});
  server = createServer((socket) => socket.on('error', () => undefined));
  await listenIn(lab.node.path, server, '127.0.0.1', 7000);
});
afterAll(async () => {
  endServer(server);
  await lab?.close();
});

const entryOf = (mode: MtlsMode): WorkloadEntry => {
  const text = JSON.stringify([{ips: [POD], namespace: 'shop', name: 'a', uid: 'uid-a', labels: {}, mtls: mode}]);
  return parseWorkloads(text, 'the test')[0]!;
};
const stateOf = (mode: MtlsMode, whole = true): MtlsState => ({
  ...{entries: [entryOf(mode)], here: new Map([[POD, 'uid-a']]), identities: new Map(), services: new Map(), whole},
});
const markOf = (socket: Socket): number => getOption(fdOf(socket)!, SYS.SOL_SOCKET, SYS.SO_MARK, 4).readUInt32LE();

it('is marked as a Strict pod’s, from the moment on that it is one, and before anybody is known', () => {
  const config = {identity: {kind: 'files', dir: '/nowhere'}, trustDomain: 'cluster.local'} as const;
  const settings = {...config, defaultMode: 'Off', cidrs: [], peersFile: null} as const;
  const mtls = new WorkerMtls(settings, stateOf('Off', false), heardJournal().journal, () => undefined);
  const dial = (): Socket => {
    const endpoints = {source: {ip: POD, port: 1}, destination: {ip: '127.0.0.1', port: 7000}};
    const socket = lab.inside('node', () => mtls.dialAsNode(endpoints));
    socket.on('error', () => undefined);
    return socket;
  };
  const [strict, other] = [asNodeMark(DEFAULT_MARKS, 'strict'), asNodeMark(DEFAULT_MARKS, 'other')];
  expect(strict).not.toBe(other);
  const early = dial();
  expect(markOf(early)).toBe(strict);
  mtls.apply(stateOf('Permissive'));
  const late = dial();
  expect([early, late].map(markOf)).toEqual([other, other]);
  mtls.apply(stateOf('Strict'));
  expect([early, late].map(markOf)).toEqual([strict, strict]);
  for (const socket of [early, late]) socket.destroy();
  mtls.close();
});
