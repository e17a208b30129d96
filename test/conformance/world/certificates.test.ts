import {X509Certificate} from 'node:crypto';
import {expect, test} from '@jest/globals';
import {CERTIFICATES, type ServerSpec} from '../format/case.ts';
import {createAuthorities} from './certificates.ts';

const authorities = createAuthorities();
const root = new X509Certificate(authorities.trusted);
const issued = (certificate: ServerSpec['certificate']): X509Certificate =>
  new X509Certificate(
    authorities.certificate({name: 'a.test', ports: [], addresses: null, certificate, auth: null}, [
      '5.6.7.8',
      '2a0e::1',
    ]).cert,
  );

test.each(CERTIFICATES)('a certificate that is %s is so, and nothing else is wrong with it', (kind) => {
  const certificate = issued(kind);
  expect(certificate.verify(root.publicKey)).toBe(kind !== 'untrusted' && kind !== 'self-signed');
  expect(certificate.checkHost('a.test') !== undefined).toBe(kind !== 'wrong-name');
  expect(new Date(certificate.validTo) > new Date()).toBe(kind !== 'expired');
  expect(certificate.ca).toBe(false);
});

test('a valid certificate holds the addresses too', () => {
  expect(issued('valid').checkIP('5.6.7.8')).toBe('5.6.7.8');
  expect(issued('valid').checkIP('2a0e::1')).toBe('2a0e::1');
});
