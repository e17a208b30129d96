import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {parseCidr} from '../../policy/index.ts';
import {MTLS_MODES, mtlsModeOf, parsePlainPorts, stricter, type MtlsWords} from '../../sources/mtls-words.ts';
import type {WorkloadEntry} from '../../sources/workload-table.ts';
import {enrolment, type EnrolmentOptions, type MtlsCidr, type MtlsMode} from './enrolment.ts';

function entry(ips: string[], mtls?: Partial<MtlsWords>, serviceAccount = 'web'): WorkloadEntry {
  const workload = {
    ...{namespace: 'shop', namespaceLabels: {}, name: 'web-1', uid: 'u', labels: {}},
    ...{serviceAccount, node: null, trustsCa: false},
  };
  const words = mtls === undefined ? {} : {mtls: {mode: null, plainPorts: new Set<number>(), ...mtls}};
  return {workload, ips, interface: null, guarded: 'listed', ...words};
}

const cidr = (text: string, mode: MtlsMode): MtlsCidr => ({cidr: parseCidr(text)!, mode});
const options = (of: Partial<EnrolmentOptions> = {}): EnrolmentOptions => ({
  ...{trustDomain: 'cluster.local', defaultMode: 'Off', cidrs: []},
  ...of,
});
const ID = 'spiffe://cluster.local/ns/shop/sa/web';

describe('who is enrolled', () => {
  test.each<[string, WorkloadEntry[], Partial<EnrolmentOptions>, MtlsMode | null]>([
    ['one that says nothing is left alone where the installation says nothing', [entry(['10.0.0.1'])], {}, null],
    ['one that says Strict is', [entry(['10.0.0.1'], {mode: 'Strict'})], {}, 'Strict'],
    ['one that says Permissive is', [entry(['10.0.0.1'], {mode: 'Permissive'})], {}, 'Permissive'],
    ['its own word goes before the default', [entry(['10.0.0.1'], {mode: 'Off'})], {defaultMode: 'Strict'}, null],
    [
      'its own word goes before a CIDR',
      [entry(['10.0.0.1'], {mode: 'Permissive'})],
      {cidrs: [cidr('10.0.0.0/8', 'Strict')]},
      'Permissive',
    ],
    ['a CIDR goes before the default', [entry(['10.0.0.1'])], {cidrs: [cidr('10.0.0.0/8', 'Strict')]}, 'Strict'],
    [
      'of two CIDRs the narrower counts, whatever their order',
      [entry(['10.0.0.1'])],
      {cidrs: [cidr('10.0.0.0/24', 'Permissive'), cidr('10.0.0.0/8', 'Strict')]},
      'Permissive',
    ],
    ['plain ports alone enrol nobody', [entry(['10.0.0.1'], {plainPorts: new Set([80])})], {}, null],
    ['nobody is known there, and nothing is said of the address', [], {}, null],
    ['nobody is known there, and it may be plain', [], {cidrs: [cidr('10.0.0.0/8', 'Permissive')]}, null],
    ['the default is of pods, and not of every address in the world', [], {defaultMode: 'Strict'}, null],
  ])('%s', (_what, workloads, of, mode) => {
    expect(enrolment(workloads, options(of)).of('10.0.0.1')?.mode ?? null).toBe(mode);
  });

  test('as whom it must show itself, and which ports stay plain', () => {
    const {of} = enrolment([entry(['10.0.0.1', 'fd00::1'], {mode: 'Strict', plainPorts: new Set([9090])})], options());
    for (const ip of ['10.0.0.1', 'fd00::1'])
      expect(of(ip)).toEqual({mode: 'Strict', spiffeId: ID, plainPorts: new Set([9090])});
  });

  test('an address of a Strict CIDR that the table does not know is nobody: no certificate is taken from there', () => {
    const {of} = enrolment([], options({cidrs: [cidr('10.0.0.0/8', 'Strict')]}));
    expect(of('10.0.0.9')).toEqual({mode: 'Strict', spiffeId: '', plainPorts: new Set()});
    expect(of('192.0.2.1')).toBeNull();
  });

  test('two that claim one address: the stricter mode, no name, and only the ports that both leave plain', () => {
    const {of} = enrolment(
      [
        entry(['10.0.0.1'], {mode: 'Permissive', plainPorts: new Set([80, 81])}),
        entry(['10.0.0.1'], {mode: 'Strict', plainPorts: new Set([81])}, 'admin'),
      ],
      options(),
    );
    expect(of('10.0.0.1')).toEqual({mode: 'Strict', spiffeId: '', plainPorts: new Set([81])});
  });

  test('names that make no SPIFFE id are nobody, and enrolled as ever', () => {
    expect(enrolment([entry(['10.0.0.1'], {mode: 'Strict'}, 'a/sa/b')], options()).of('10.0.0.1')).toMatchObject({
      mode: 'Strict',
      spiffeId: '',
    });
  });
});

describe('words', () => {
  test('one that does not exist is Strict', () => {
    expect(['Strict', 'strict', 'on', '', 'Permissive', 'Off', 'off'].map(mtlsModeOf)).toEqual([
      ...['Strict', 'Strict', 'Strict', 'Strict', 'Permissive', 'Off', 'Strict'],
    ]);
  });

  test('of two the stricter one counts, in either order', () => {
    const order = (mode: MtlsMode): number => MTLS_MODES.indexOf(mode);
    fc.assert(
      fc.property(fc.constantFrom(...MTLS_MODES), fc.constantFrom(...MTLS_MODES), (a, b) => {
        expect(stricter(a, b)).toBe(stricter(b, a));
        expect(order(stricter(a, b))).toBe(Math.min(order(a), order(b)));
      }),
    );
  });

  test.each([
    ['9090', [9090]],
    [' 9090 , 8081,', [9090, 8081]],
    ['', []],
    ['0', null],
    ['65536', null],
    ['http', null],
    ['1-65535', null],
    ['09090', null],
    ['1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17', null],
  ])('plain ports %j', (text, ports) => {
    expect(parsePlainPorts(text)).toEqual(ports === null ? null : new Set(ports));
  });
});
