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
      isOutdated(footing, {direction, source: A, destination: B}, {enrolment: () => table(a, b), isHere: () => false}),
    ).toBe(outdated);
  });

  // What does not leave the node is not wrapped (ADR 22), nor what a pod says to itself: a change of any other pod must not cut it.
  test.each<[string, 'in' | 'out', Enrolled | null, boolean]>([
    ['plain between two enrolled pods of here goes on', 'out', member('a', 'Strict'), false],
    ['but not of one that is not enrolled', 'out', null, true],
    ['nor what came in from the wire', 'in', member('a', 'Strict'), true],
  ])('%s', (_what, direction, a, outdated) => {
    const services = {enrolment: () => table(a, member('b', 'Strict')), isHere: () => true};
    expect(isOutdated(PLAIN, {direction, source: A, destination: B}, services)).toBe(outdated);
  });
});

function mtls(name: string): Footing {
  return {protectedBy: 'mtls', peerId: id(name)};
}
