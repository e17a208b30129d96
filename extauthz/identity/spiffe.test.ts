import {expect, test} from '@jest/globals';
import {readSpiffe} from './spiffe.ts';

test('the account of a workload', () => {
  expect(readSpiffe('spiffe://cluster.local/ns/shop/sa/web-1')).toEqual({namespace: 'shop', serviceAccount: 'web-1'});
});

test.each([
  '',
  'shop/web',
  'spiffe://cluster.local',
  'spiffe:///ns/shop/sa/web',
  'spiffe://cluster.local/ns/shop/sa/',
  'spiffe://cluster.local/ns//sa/web',
  'spiffe://cluster.local/ns/shop/sa/web/x',
  'spiffe://cluster.local/ns/shop/sa/web?x',
  'spiffe://cluster.local/ns/sh%6fp/sa/web',
  'spiffe://cluster.local/ns/SHOP/sa/web',
  'spiffe://cluster.local/sa/web/ns/shop',
  'SPIFFE://cluster.local/ns/shop/sa/web',
  'https://cluster.local/ns/shop/sa/web',
  ' spiffe://cluster.local/ns/shop/sa/web',
])('%j is none', (id) => expect(readSpiffe(id)).toBeNull());
