import {describe, expect, test} from '@jest/globals';
import {inject} from './inject.ts';
import type {Namespace, Pod} from './pod.ts';
import {readInstallation} from './settings.ts';

const installation = (text: string) => readInstallation('test.yaml', text, new Map()).value!;
const ON = installation('mtls: Enabled');
const OFF = installation('');
const MTLS = 'sallyport.dev/mtls';
const PORTS = 'sallyport.dev/mtls-plain-ports';

function pod(labels: Record<string, string>, annotations: Record<string, string> = {}): Pod {
  return {
    metadata: {name: 'web', namespace: 'shop', labels: {'sallyport.dev/mode': 'tproxy', ...labels}, annotations},
    spec: {containers: [{name: 'app', image: 'example/app', securityContext: {runAsUser: 1000}}]},
  };
}
const namespace = (labels: Record<string, string> = {}): Namespace => ({name: 'shop', labels, annotations: {}});

describe('a pod that asks for mTLS', () => {
  test.each<[string, Pod, Record<string, string>, object]>([
    ['says nothing', pod({}), {}, {}],
    ['Strict', pod({[MTLS]: 'Strict'}), {}, {mtls: 'Strict'}],
    ['Off', pod({[MTLS]: 'Off'}), {}, {mtls: 'Off'}],
    [
      'Permissive, with ports that stay plain',
      pod({[MTLS]: 'Permissive'}, {[PORTS]: '9090, 8081'}),
      {},
      {mtls: 'Permissive', mtlsPlainPorts: [9090, 8081]},
    ],
    ["its namespace's word", pod({}), {'sallyport.dev/injection': 'enabled', [MTLS]: 'Strict'}, {mtls: 'Strict'}],
  ])('is latched as it was made: %s', (_title, one, labels, expected) => {
    const done = inject(one, namespace(labels), ON);
    if (done.kind !== 'inject') throw new Error(JSON.stringify(done));
    const {mtls, mtlsPlainPorts} = JSON.parse(done.pod.metadata.annotations!['sallyport.dev/status']!) as {
      mtls?: string;
      mtlsPlainPorts?: number[];
    };
    expect({...(mtls === undefined ? {} : {mtls}), ...(mtlsPlainPorts === undefined ? {} : {mtlsPlainPorts})}).toEqual(
      expected,
    );
  });

  test.each<[string, Pod, typeof ON, RegExp]>([
    [
      'where no agent speaks it: it would be a promise and no more',
      pod({[MTLS]: 'Strict'}),
      OFF,
      /no agent here speaks mTLS/,
    ],
    ['Permissive too', pod({[MTLS]: 'Permissive'}), OFF, /no agent here/],
    [
      'with a word that does not exist',
      pod({[MTLS]: 'strict'}),
      ON,
      /is "strict": write one of Strict, Permissive, Off\./,
    ],
    ['with ports that are none', pod({[MTLS]: 'Strict'}, {[PORTS]: 'all'}), ON, /is "all": write up to 16 ports/],
    [
      'where the node does not take its traffic',
      pod({[MTLS]: 'Strict', 'sallyport.dev/mode': 'proxy-env'}),
      ON,
      /the mode is proxy-env/,
    ],
  ])('is refused %s', (_title, one, of, why) => {
    const done = inject(one, namespace(), of);
    expect(done).toMatchObject({kind: 'refuse', messages: [expect.stringMatching(why)]});
  });

  test('Off promises nothing and is taken anywhere', () => {
    expect(inject(pod({[MTLS]: 'Off'}), namespace(), OFF).kind).toBe('inject');
    expect(inject(pod({[MTLS]: 'Off', 'sallyport.dev/capture': 'pod'}), namespace(), ON).kind).toBe('inject');
  });
});
