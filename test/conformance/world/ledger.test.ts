import {Socket} from 'node:net';
import {expect, test} from '@jest/globals';
import {Ledger} from './ledger.ts';

const request = {method: 'GET', target: '/', headers: ['X-A', '1', 'x-a', '2']};

test('bytes that turn out to be a request are told once, as the request', () => {
  const ledger = new Ledger();
  const connection = {};
  ledger.bytes('a', connection, null);
  ledger.request('a', connection, null, request);
  ledger.bytes('a', connection, null);
  expect(ledger.take()).toMatchObject([{server: 'a', how: 'request', headers: new Map([['x-a', ['1', '2']]])}]);
});

test('bytes on a connection of an earlier step are seen again in a later one', () => {
  const ledger = new Ledger();
  const connection = {};
  ledger.bytes('a', connection, null);
  expect(ledger.take()).toHaveLength(1);
  expect(ledger.take()).toHaveLength(0);
  ledger.bytes('a', connection, null);
  expect(ledger.take()).toHaveLength(1);
});

test('two requests on one connection are two sightings', () => {
  const ledger = new Ledger();
  const connection = {};
  ledger.request('a', connection, null, request);
  ledger.request('a', connection, null, request);
  expect(ledger.take()).toHaveLength(2);
});

test('nobody carries a connection that no parent dialled', () => {
  expect(new Ledger().carrierOf(new Socket())).toBeNull();
});
