import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {parseProof, type CaptureProof} from '../runtime/capture-proof.ts';
import {guardConfig} from './settings.ts';

test('in a pod all of it comes from the downward API', () => {
  const env = {
    SALLYPORT_POD_UID: 'u',
    SALLYPORT_POD_IPS: '10.0.1.7,fd00::7',
    SALLYPORT_NODE_IPS: '192.168.7.5',
    SALLYPORT_NODE_NAME: 'node-7',
  };
  expect(guardConfig([], env)).toEqual({
    podUid: 'u',
    podIps: ['10.0.1.7', 'fd00::7'],
    nodeIps: ['192.168.7.5'],
    nodeName: 'node-7',
    caFile: '/etc/sallyport/trust/ca.crt',
    timeoutMs: 60_000,
    terminationLog: '/dev/termination-log',
  });
});

describe('wrong use says what to write', () => {
  test.each<[string, string[], RegExp]>([
    ['no uid', [], /no --pod-uid.*/],
    ['a time that is none', ['--pod-uid', 'u', '--timeout', 'soon'], /--timeout is "soon"/],
    ['a flag that is none', ['--pod-uid', 'u', '--podip', 'x'], /unknown flag --podip/],
  ])('%s', (_title, argv, message) => expect(() => guardConfig(argv, {})).toThrow(message));
});

describe('a proof', () => {
  const proof: CaptureProof = {
    pod: {namespace: 'default', name: 'web', uid: 'u'},
    node: 'n',
    hold: 'locked',
    version: '1',
  };
  test('is read as it is written; what a newer proxy adds is passed over', () => {
    expect(parseProof(JSON.stringify(proof))).toEqual(proof);
    expect(parseProof(JSON.stringify({...proof, more: 1}))).toEqual(proof);
  });
  test.each<[string, unknown]>([
    ['nothing', null],
    ['a text', 'locked'],
    ['no pod', {...proof, pod: undefined}],
    ['a pod without a uid', {...proof, pod: {namespace: 'a', name: 'b'}}],
    ['a uid that is no text', {...proof, pod: {...proof.pod, uid: 1}}],
    ['another hold', {...proof, hold: 'free'}],
    ['no version', {...proof, version: undefined}],
  ])('is none with %s', (_title, value) => expect(parseProof(JSON.stringify(value))).toBeNull());
  test('is none in any other text', () => {
    fc.assert(fc.property(fc.string(), (text) => expect(parseProof(text)).toBeNull()));
    fc.assert(fc.property(fc.json(), (text) => expect(parseProof(text)).toBeNull()));
  });
});
