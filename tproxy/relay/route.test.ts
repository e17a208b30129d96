import {expect, test} from '@jest/globals';
import type {Decision} from '../../policy/index.ts';
import {carrierOf, rerouted} from './route.ts';

const by = (proxy: string | null, enforced = true): Decision =>
  ({enforced, via: proxy === null ? {kind: 'direct'} : {kind: 'proxy', proxy, sends: 'name'}}) as unknown as Decision;

test.each([
  ['direct, and still', null, null, null],
  ['through a parent, and still', 'corp', 'corp', null],
  ['direct, and through a parent now', null, 'corp', 'The policy changed: it goes through the UpstreamProxy corp now.'],
  ['through a parent, and direct now', 'corp', null, 'The policy changed: it goes direct now.'],
  [
    'through a parent, and another now',
    'corp',
    'other',
    'The policy changed: it goes through the UpstreamProxy other now.',
  ],
] as const)('a living flow that went %s', (_, before, now, why) => {
  expect(rerouted(by(now), before)?.message ?? null).toBe(why);
});

test('a parent that is gone is none to go around: what goes direct is closed', () => {
  const missing = {enforced: true, via: {kind: 'missing', proxy: 'corp'}} as unknown as Decision;
  expect(carrierOf(missing)).toBe('corp');
  expect(rerouted(missing, null)).not.toBeNull();
});

test('while all is Audit the wire is left as it is', () => {
  expect(rerouted(by('corp', false), null)).toBeNull();
});
