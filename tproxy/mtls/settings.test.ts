import {describe, expect, test} from '@jest/globals';
import {PORTS} from '../../runtime/names.ts';
import {tproxySettings} from '../settings.ts';

const NODE = ['--policy', 'p', '--capture', 'node'];
const read = (...argv: string[]): ReturnType<typeof tproxySettings>['mtls'] =>
  tproxySettings([...NODE, ...argv], {}, false).mtls;

describe('the flags of --mtls', () => {
  test('without it there is none', () => expect(read()).toBeNull());

  test('files: the identity, the trust domain of the cluster, and nobody is enrolled who does not say so', () =>
    expect(read('--mtls', '--mtls-identity', 'id', '--cluster-domain', 'corp.test')).toEqual({
      identity: {kind: 'files', dir: 'id'},
      trustDomain: 'corp.test',
      defaultMode: 'Off',
      cidrs: [],
      peersFile: null,
    }));

  test('an issuer, by name or address', () => {
    const issuer = (at: string): unknown =>
      read('--mtls', '--mtls-issuer', at, '--mtls-issuer-ca', 'ca.crt', '--mtls-token', 'token')?.identity;
    expect(issuer('issuer.svc:8444')).toEqual({
      ...{kind: 'issued', host: 'issuer.svc', port: 8444},
      ...{caFile: 'ca.crt', tokenFile: 'token'},
    });
    expect(issuer('[fd00::1]:8444')).toMatchObject({host: 'fd00::1', port: 8444});
  });

  test('and what to write instead names the Service that there is', () => {
    const bad = (): unknown => read('--mtls', '--mtls-issuer', 'a');
    expect(bad).toThrow(
      expect.objectContaining({fix: expect.stringContaining(`sallyport-issuer.sallyport.svc:${PORTS.issuer}`)}),
    );
  });

  test('modes of CIDRs', () =>
    expect(
      read('--mtls', '--mtls-identity', 'id', '--mtls-cidr', '10.0.0.0/8=Strict,fd00::/16=Off')?.cidrs.map(
        ({text, mode}) => `${text} ${mode}`,
      ),
    ).toEqual(['10.0.0.0/8 Strict', 'fd00::/16 Off']));

  test.each([
    {argv: ['--mtls'], says: '--mtls without an identity'},
    {argv: ['--mtls-identity', 'id'], says: '--mtls-identity without --mtls'},
    {argv: ['--mtls-cidr', '10.0.0.0/8=Strict'], says: '--mtls-cidr without --mtls'},
    {argv: ['--mtls', '--mtls-identity', 'id', '--mtls-issuer', 'a:1'], says: 'two that say who we are'},
    {argv: ['--mtls', '--mtls-issuer', 'a'], says: 'no HOST:PORT'},
    {argv: ['--mtls', '--mtls-issuer', 'a:70000'], says: 'no HOST:PORT'},
    {argv: ['--mtls', '--mtls-issuer', 'a:1'], says: 'without --mtls-issuer-ca'},
    {argv: ['--mtls', '--mtls-issuer', 'a:1', '--mtls-issuer-ca', 'c'], says: 'without --mtls-token'},
    {argv: ['--mtls', '--mtls-identity', 'id', '--mtls-cidr', '10.0.0.0/8'], says: 'no CIDR=MODE'},
    {argv: ['--mtls', '--mtls-identity', 'id', '--mtls-cidr', '10.0.0.0/8=strict'], says: 'no CIDR=MODE'},
    {argv: ['--mtls', '--mtls-identity', 'id', '--mtls-trust-domain', 'Corp'], says: 'no DNS name in lower case'},
    {argv: ['--mtls', '--mtls-identity', 'id', '--mtls-mode', 'on'], says: 'on'},
    {argv: ['--mtls', '--mtls-identity', 'id', '--capture', 'none'], says: 'with --capture none'},
  ])('$argv is refused: $says', ({argv, says}) => expect(() => read(...argv)).toThrow(says));
});
