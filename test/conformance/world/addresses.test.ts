import {expect, test} from '@jest/globals';
import {readCase} from '../format/read.ts';
import {worldAddresses} from './addresses.ts';

const world = (servers: string, policies = ''): ReturnType<typeof readCase> =>
  readCase(
    'w.yaml',
    `name: w\nworkloads: {app: {}}\nservers: ${servers}\n${policies}steps: [{name: a, ping: a.test, expect: {refused: true}}]\n`,
  );

test('each name has its own address, fixed ones stay as they are written', () => {
  const addresses = worldAddresses(
    world(
      '{a.test: {ports: {80: http}}, b.test: {ports: {80: http}}, c.test: {ports: {80: http}, addresses: ["::1", 10.0.0.1]}}',
    ),
  );
  expect(addresses.get('c.test')).toEqual(['::1', '10.0.0.1']);
  expect(new Set([...addresses.values()].flat()).size).toBe(4);
});

test('allotted addresses are clear of every address that the case names, also in a CIDR of a policy', () => {
  const first = worldAddresses(world('{a.test: {ports: {80: http}}}')).get('a.test')![0]!;
  const range = first.replace(/\.\d+\.\d+$/, '.0.0/16');
  const second = worldAddresses(
    world('{a.test: {ports: {80: http}}}', `policies: [{kind: X, spec: {cidrs: [${range}]}}]\n`),
  ).get('a.test')![0]!;
  expect(second.split('.').slice(0, 2)).not.toEqual(first.split('.').slice(0, 2));
});
