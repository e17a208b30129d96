import {describe, expect, test} from '@jest/globals';
import type {Member} from './config.ts';
import {parseRoutes, placed, requireInterfaceName} from './topology.ts';

const member = (ip: string, name: string | null): Member => ({ip, interface: name, mode: 'locked', uid: 'u'});

describe('where `ip route get` says an address is', () => {
  test.each([
    ['on a veth', '10.0.0.5 dev veth1 src 10.0.0.1 uid 0', '10.0.0.5', 'veth1'],
    ['IPv6', 'fd00::5 from :: dev veth1 src fd00::1 metric 1024 pref medium', 'fd00::5', 'veth1'],
    [
      'behind another router: no pod of this node',
      '10.0.0.5 via 192.168.1.1 dev eth0 src 192.168.1.2',
      '10.0.0.5',
      undefined,
    ],
    ['the node itself', 'local 10.0.0.5 dev lo src 10.0.0.5 uid 0', '10.0.0.5', undefined],
    ['a continuation line', '    cache', '10.0.0.5', undefined],
  ])('%s', (_what, line, ip, expected) => {
    expect(parseRoutes(`${line}\n`).get(ip)).toBe(expected);
  });
});

describe('the place of a member', () => {
  const links = [
    {ifname: 'veth1'},
    {ifname: 'cni0', address: '02:00:00:00:00:01', linkinfo: {info_kind: 'bridge'}},
    {ifname: 'veth2', master: 'cni0'},
    {ifname: 'veth3', master: 'vrf0'},
    {ifname: 'vrf0', linkinfo: {info_kind: 'vrf'}},
  ];
  test.each([
    ['the interface that was named', member('10.0.0.5', 'veth1'), {interface: 'veth1', port: null}],
    ['the route’s, where none was named', member('10.0.0.6', null), {interface: 'veth1', port: null}],
    ['a bridge’s port: IP sees the bridge', member('10.0.0.7', 'veth2'), {interface: 'cni0', port: 'veth2'}],
    ['the route leads to a bridge: its port is not known', member('10.0.0.8', null), {interface: 'cni0', port: null}],
    ['a master that is no bridge changes nothing', member('10.0.0.9', 'veth3'), {interface: 'veth3', port: null}],
    ['no route', member('10.0.0.10', null), {interface: null, port: null}],
    ['a name that is not there yet', member('10.0.0.11', 'veth9'), {interface: 'veth9', port: null}],
  ])('%s', (_what, one, expected) => {
    const routes = new Map([
      ['10.0.0.6', 'veth1'],
      ['10.0.0.8', 'cni0'],
    ]);
    expect(placed([one], links, routes).members).toEqual([{ip: one.ip, mode: 'locked', uid: 'u', ...expected}]);
  });

  test('only bridges with members are told, with all their ports', () => {
    expect(placed([member('10.0.0.5', 'veth1')], links, new Map()).bridges).toEqual([]);
    expect(placed([member('10.0.0.7', 'veth2')], links, new Map()).bridges).toEqual([
      {name: 'cni0', mac: '02:00:00:00:00:01', ports: ['veth2']},
    ]);
  });
});

describe('interface names', () => {
  test.each(['eth0', 'cali1234567890a', 'lxc.1', 'veth@if3', 'a-b_c:d~e+f'])('%s is one', (name) => {
    expect(() => requireInterfaceName(name)).not.toThrow();
  });
  test.each(['', 'x'.repeat(16), 'a b', 'a"', 'a}', 'a\n', 'a;b', 'a*', 'ä'])(
    '%j is refused: nft would read more than a name',
    (name) => {
      expect(() => requireInterfaceName(name)).toThrow(expect.objectContaining({code: 'InterfaceInvalid'}));
    },
  );
});
