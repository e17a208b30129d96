import {describe, expect, test} from '@jest/globals';
import {SallyportError} from '../../runtime/errors.ts';
import {identitiesOf, secretPeers, type SecretTransport} from './peers.ts';

const transport = (part: Partial<SecretTransport>): SecretTransport => ({
  address: '127.0.0.1:9001',
  mutualTls: true,
  peers: ['spiffe://cluster.local/ns/istio-egress/sa/gateway'],
  ...part,
});

describe('who may be handed private keys', () => {
  test('whoever can open our unix socket', () => {
    expect(secretPeers(transport({address: 'unix:/run/sallyport/sds.sock', mutualTls: false, peers: []}))).toBe(
      'unix-socket',
    );
  });
  test('listed identities over mutual TLS', () => {
    expect(secretPeers(transport({}))).toEqual(new Set(['spiffe://cluster.local/ns/istio-egress/sa/gateway']));
  });
  test.each([
    ['in the clear', {mutualTls: false}, /would send private keys in the clear/, /unix:PATH/],
    ['to whoever holds a certificate', {peers: []}, /to whoever has a certificate/, /--sds-peer spiffe/],
    ['by a list that nothing checks', {address: 'unix:/s'}, /would check nothing/, /Leave --sds-peer out/],
  ])('nobody %s: it is refused at start, with what to write', (_what, part, message, fix) => {
    let thrown: unknown;
    try {
      secretPeers(transport(part));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(SallyportError);
    const {code, message: said, fix: told} = thrown as SallyportError;
    expect([code, said, told]).toEqual(['SdsInsecure', expect.stringMatching(message), expect.stringMatching(fix)]);
  });
});

describe('the identities of a certificate', () => {
  test.each([
    ['URI:spiffe://d/ns/a/sa/b, DNS:gw.example, IP Address:10.0.0.1', ['spiffe://d/ns/a/sa/b', 'gw.example']],
    ['DNS:"evil.example, URI:spiffe://d/ns/a/sa/b"', ['evil.example, URI:spiffe://d/ns/a/sa/b']],
    ['DNS:"a\\", URI:spiffe://d/ns/a/sa/b", DNS:c', ['a", URI:spiffe://d/ns/a/sa/b', 'c']],
    ['DNS:"broken', []],
    ['email:a@b', []],
    ['', []],
  ])('of %j are %j', (subjectaltname, identities) => {
    expect(identitiesOf({subjectaltname})).toEqual(identities);
  });
  test('of none are none', () => {
    expect(identitiesOf(undefined)).toEqual([]);
  });
});
