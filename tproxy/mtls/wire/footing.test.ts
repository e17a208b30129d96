import {describe, expect, test} from '@jest/globals';
import type {Enrolled, Enrolment, MtlsMode} from '../enrolment.ts';
import {isOutdated, type Footing} from './footing.ts';

const A = {ip: '10.0.1.1', port: 40_000};
const B = {ip: '10.0.2.1', port: 5432};
const id = (name: string): string => `spiffe://cluster.local/ns/shop/sa/${name}`;
const member = (name: string, mode: MtlsMode, plainPorts: number[] = []): Enrolled => ({
  ...{mode, spiffeId: id(name), plainPorts: new Set(plainPorts)},
});
const table = (a: Enrolled | null, b: Enrolled | null): Enrolment => ({
  of: (ip) => (ip === A.ip ? a : ip === B.ip ? b : null),
});
const PLAIN: Footing = {protectedBy: 'plain', peerId: null};

describe('whether a living connection would still be opened so', () => {
  test.each<[string, 'in' | 'out', Footing, Enrolled | null, Enrolled | null, boolean]>([
    ['plain between Permissive pods goes on', 'in', PLAIN, member('a', 'Permissive'), member('b', 'Permissive'), false],
    ['plain to a pod that became Strict ends', 'in', PLAIN, member('a', 'Permissive'), member('b', 'Strict'), true],
    ['plain from outside to a pod that became Strict ends', 'in', PLAIN, null, member('b', 'Strict'), true],
    [
      'plain towards a peer that became Strict ends',
      'out',
      PLAIN,
      member('a', 'Permissive'),
      member('b', 'Strict'),
      true,
    ],
    ['plain of a pod that became Strict ends', 'out', PLAIN, member('a', 'Strict'), member('b', 'Permissive'), true],
    // It is the client's node that has to wrap; this end takes both.
    [
      'plain of a Strict client is that node’s to end',
      'in',
      PLAIN,
      member('a', 'Strict'),
      member('b', 'Permissive'),
      false,
    ],
    ['a port that is left plain stays so', 'in', PLAIN, member('a', 'Strict'), member('b', 'Strict', [B.port]), false],
    ['only that port', 'in', PLAIN, member('a', 'Strict'), member('b', 'Strict', [B.port + 1]), true],
    ['outside of the set nothing was promised', 'out', PLAIN, member('a', 'Strict'), null, false],
    ['mTLS goes on while the peer is who it was', 'in', mtls('a'), member('a', 'Strict'), member('b', 'Strict'), false],
    [
      'mTLS ends where its client’s address is another’s',
      'in',
      mtls('a'),
      member('z', 'Strict'),
      member('b', 'Strict'),
      true,
    ],
    ['mTLS ends where its client’s address is nobody’s', 'in', mtls('a'), null, member('b', 'Strict'), true],
    [
      'mTLS ends where its server’s address is another’s',
      'out',
      mtls('b'),
      member('a', 'Strict'),
      member('z', 'Strict'),
      true,
    ],
    [
      'of two that claim it, it is neither',
      'out',
      mtls('b'),
      member('a', 'Strict'),
      {...member('b', 'Strict'), spiffeId: ''},
      true,
    ],
  ])('%s', (_what, direction, footing, a, b, outdated) => {
    expect(
      isOutdated(
        footing,
        {direction, source: A, destination: B},
        {enrolment: () => table(a, b), mayBePlain: () => false},
      ),
    ).toBe(outdated);
  });

  test('who may be plain stays so', () => {
    const services = {
      enrolment: () => table(null, member('b', 'Strict')),
      mayBePlain: (ip: string) => ip === A.ip,
    };
    expect(isOutdated(PLAIN, {direction: 'in', source: A, destination: B}, services)).toBe(false);
  });
});

function mtls(name: string): Footing {
  return {protectedBy: 'mtls', peerId: id(name)};
}
