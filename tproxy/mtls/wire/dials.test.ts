import {once} from 'node:events';
import {Socket} from 'node:net';
import {expect, test} from '@jest/globals';
import type {Enrolled} from '../enrolment.ts';
import {Dials} from './dials.ts';

const enrolled = (spiffeId: string, mode: Enrolled['mode']): Enrolled => ({mode, spiffeId, plainPorts: new Set()});

test('what the relay dialled is cut where its peer is another, or it may not be plain any more; the rest goes on', async () => {
  const table = new Map([
    ['10.0.0.1', enrolled('a', 'Permissive')],
    ['10.0.1.1', enrolled('b', 'Permissive')],
    ['10.0.1.2', enrolled('c', 'Permissive')],
  ]);
  const dials = new Dials({enrolment: () => ({of: (ip) => table.get(ip) ?? null}), isHere: () => false});
  const follow = (ip: string, peerId: string | null): Socket => {
    const socket = new Socket();
    const way = {direction: 'out' as const, source: {ip: '10.0.0.1', port: 1}, destination: {ip, port: 80}};
    dials.follow(socket, way, {protectedBy: peerId === null ? 'plain' : 'mtls', peerId});
    return socket;
  };
  const [sealed, other, plain, outside] = [
    ...[follow('10.0.1.1', 'b'), follow('10.0.1.2', 'c'), follow('10.0.1.1', null), follow('192.0.2.1', null)],
  ] as [Socket, Socket, Socket, Socket];
  dials.recheck();
  expect([sealed, other, plain, outside].map(({destroyed}) => destroyed)).toEqual([false, false, false, false]);

  table.set('10.0.0.1', enrolled('a', 'Strict'));
  table.set('10.0.1.2', enrolled('z', 'Permissive'));
  const said = Promise.all([once(other, 'error'), once(plain, 'error')]);
  dials.recheck();
  expect(String(await said)).toContain("10.0.1.2 is another's now");
  expect([sealed, other, plain, outside].map(({destroyed}) => destroyed)).toEqual([false, true, true, false]);
});
