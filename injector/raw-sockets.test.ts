import {expect, test} from '@jest/globals';
import type {Container} from './pod.ts';
import {dropRawSockets, hasRawSockets} from './raw-sockets.ts';

test.each<[string, string[] | undefined, string[]]>([
  ['are there where nothing is dropped', undefined, ['NET_RAW']],
  ['are there where something else is dropped', ['CHOWN'], ['CHOWN', 'NET_RAW']],
  [
    'are there where the name is none to containerd, which puts CAP_ before it',
    ['CAP_NET_RAW'],
    ['CAP_NET_RAW', 'NET_RAW'],
  ],
  ['are dropped already', ['NET_RAW'], ['NET_RAW']],
  ['are dropped with everything', ['ALL'], ['ALL']],
])('raw sockets %s', (_title, drop, after) => {
  const container: Container = {
    name: 'app',
    ...(drop === undefined ? {} : {securityContext: {runAsUser: 1000, capabilities: {drop}}}),
  };
  dropRawSockets(container);
  expect(container.securityContext!.capabilities!.drop).toEqual(after);
  expect(hasRawSockets(container)).toBe(false);
});
