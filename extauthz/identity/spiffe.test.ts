import {generateKeyPairSync} from 'node:crypto';
import {expect, test} from '@jest/globals';
import {certificatePem, distinguishedName, extensions, signCertificate, signingKey} from '../../pki/certificate.ts';
import {ownTrustDomain, readSpiffe} from './spiffe.ts';

/** Certificates that sign themselves: whose they are is all that is read. */
const certificateOf = (...names: readonly Buffer[]): string => {
  const {publicKey, privateKey} = generateKeyPairSync('ec', {namedCurve: 'P-256'});
  const der = signCertificate(
    {
      ...{issuer: distinguishedName({}), subject: distinguishedName({})},
      ...{notBeforeMs: 0, notAfterMs: 1e12, publicKey: publicKey.export({type: 'spki', format: 'der'})},
      extensions: names,
    },
    signingKey(privateKey)!,
  );
  return certificatePem(der);
};

test.each([
  ['of the mesh', extensions.subjectAltName({uri: 'spiffe://corp.example/ns/sallyport/sa/x'}, true), 'corp.example'],
  ['with another kind of identity', extensions.subjectAltName({uri: 'spiffe://corp.example/x'}, true), null],
  ['of its own', extensions.subjectAltNames(['sallyport-extauthz.sallyport.svc']), null],
])('the trust domain of a certificate %s', (_what, name, domain) => {
  expect(ownTrustDomain(certificateOf(name))).toBe(domain);
});

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
