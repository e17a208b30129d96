import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {answerOf, CniResults} from './cni-results.ts';

const isBridge = (name: string): boolean => name === 'cni0';

const sandbox = '/run/netns/cni-1';
const file = (interfaces: readonly object[], more: object = {}): object => ({
  kind: 'cniCacheV1',
  ifName: 'eth0',
  cniArgs: [
    ['K8S_POD_NAME', 'web'],
    ['K8S_POD_UID', 'uid-1'],
  ],
  result: {interfaces, ips: [{address: '10.244.0.5/24', interface: 2}, {address: 'fd00::5/64'}]},
  ...more,
});

describe('the node’s end of a pod’s interface', () => {
  test.each([
    ['the bridge plugin’s', [{name: 'cni0'}, {name: 'veth1'}, {name: 'eth0', sandbox}], 'veth1'],
    ['a routed plugin’s', [{name: 'cali12'}], 'cali12'],
    [
      'with an empty sandbox, as older results have it',
      [
        {name: 'veth2', sandbox: ''},
        {name: 'eth0', sandbox},
      ],
      'veth2',
    ],
    ['not where the plugin names two', [{name: 'veth1'}, {name: 'veth2'}], null],
    ['not where it names none', [{name: 'eth0', sandbox}], null],
    ['never the bridge itself', [{name: 'cni0'}, {name: 'eth0', sandbox}], null],
  ])('is %s', (_what, interfaces, expected) => {
    expect(answerOf(file(interfaces), isBridge)).toEqual({
      uid: 'uid-1',
      interface: expected,
      ips: ['10.244.0.5', 'fd00::5'],
    });
  });

  test.each([
    ['loopback', file([{name: 'lo'}], {ifName: 'lo'})],
    ['somebody’s who is no pod', file([{name: 'veth1'}], {cniArgs: [['IgnoreUnknown', '1']]})],
    ['without a result', {ifName: 'eth0', cniArgs: [['K8S_POD_UID', 'uid-1']]}],
    ['with arguments of another shape', file([], {cniArgs: 'K8S_POD_UID=uid-1'})],
  ])('is not taken from a file of %s', (_what, value) => {
    expect(answerOf(value, isBridge)).toBeNull();
  });
});

describe('the folder', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-cni-'));
  });
  afterEach(() => rmSync(dir, {recursive: true, force: true}));
  const write = (name: string, value: unknown): void =>
    writeFileSync(join(dir, name), typeof value === 'string' ? value : JSON.stringify(value));

  test('is looked at again; an address that another pod has now is not its former owner’s', () => {
    const results = new CniResults(dir, isBridge);
    write('pods-aaa-eth0', file([{name: 'veth1'}]));
    results.look();
    expect(results.interfaceOf('uid-1', '10.244.0.5')).toBe('veth1');
    expect(results.interfaceOf('uid-2', '10.244.0.5')).toBeNull();

    rmSync(join(dir, 'pods-aaa-eth0'));
    write('pods-bbb-eth0', file([{name: 'veth9'}], {cniArgs: [['K8S_POD_UID', 'uid-2']]}));
    results.look();
    expect(results.interfaceOf('uid-1', '10.244.0.5')).toBeNull();
    expect(results.interfaceOf('uid-2', '10.244.0.5')).toBe('veth9');
  });

  test('a file that is half written is read when it is whole, one that is not libcni’s says nothing', () => {
    const results = new CniResults(dir, isBridge);
    write('notes.txt', 'hello');
    write('pods-aaa-eth0', JSON.stringify(file([{name: 'veth1'}])).slice(0, 40));
    results.look();
    expect(results.interfaceOf('uid-1', '10.244.0.5')).toBeNull();
    write('pods-aaa-eth0', file([{name: 'veth1'}]));
    results.look();
    expect(results.interfaceOf('uid-1', '10.244.0.5')).toBe('veth1');
  });

  test('that is not there says nothing', () => {
    const results = new CniResults(join(dir, 'none'), isBridge);
    results.look();
    expect(results.interfaceOf('uid-1', '10.244.0.5')).toBeNull();
  });
});
