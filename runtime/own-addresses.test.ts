import {networkInterfaces} from 'node:os';
import {expect, test} from '@jest/globals';
import {ownAddresses, ownCidrs, ownListener} from './own-addresses.ts';

test.each(['127.0.0.1', '127.9.9.9', '::1', '0.0.0.0', '::'])('our port at %s is our listener', (ip) => {
  expect(ownListener([15080])(ip, 15080)).toBe(true);
});

test('our port at every address of this machine is our listener', () => {
  const isOwn = ownListener([15080, 15081]);
  expect(ownAddresses().filter((ip) => !isOwn(ip, 15081))).toEqual([]);
});

test.each([
  ['another port here', '127.0.0.1', 15082],
  ['our port elsewhere', '203.0.113.9', 15080],
])('%s is not', (_what, ip, port) => {
  expect(ownListener([15080])(ip, port)).toBe(false);
});

test('addresses of loopback are a class of their own, all others of the machine are the node’s', () => {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  expect(ownAddresses().filter((ip) => ip.startsWith('127.') || ip === '::1')).toEqual([]);
  expect(ownCidrs()).toHaveLength(all.filter(({address}) => !address.startsWith('127.') && address !== '::1').length);
});
