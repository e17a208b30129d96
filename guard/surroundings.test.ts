import {networkInterfaces, type NetworkInterfaceInfo} from 'node:os';
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {dataplaneOf} from './dataplane.ts';
import {gateways4, gateways6, lookAround, nextTo, ownAddresses, type Surroundings} from './surroundings.ts';

const address = (text: string, prefix: number, more: Partial<NetworkInterfaceInfo> = {}): NetworkInterfaceInfo =>
  ({
    address: text,
    cidr: `${text}/${prefix}`,
    netmask: '',
    mac: '',
    internal: false,
    ...(text.includes(':') ? {family: 'IPv6', scopeid: 0} : {family: 'IPv4'}),
    ...more,
  }) as NetworkInterfaceInfo;

test('own addresses are those that something could be sent far from', () => {
  expect(
    ownAddresses({
      lo: [address('127.0.0.1', 8, {internal: true}), address('::1', 128, {internal: true})],
      eth0: [address('10.0.1.7', 24), address('fd00::7', 64), address('fe80::7', 64)],
      down: undefined,
    }),
  ).toEqual([
    {ip: '10.0.1.7', family: 4, interface: 'eth0', prefix: 24},
    {ip: 'fd00::7', family: 6, interface: 'eth0', prefix: 64},
  ]);
});

test("gateways are read from the kernel's text, each once", () => {
  const text = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000000A\t0101A8C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
`;
  expect(gateways4(text)).toEqual([{ip: '192.168.1.1', interface: 'eth0', scope: 0}]);
});

test('an IPv6 gateway is often link-local, which needs its interface', () => {
  const zero = '0'.repeat(32);
  const text = [
    `fd77000000000000000000000000000a 80 ${zero} 00 ${zero} 00000100 00000001 00000000 00000001     eth0`,
    `${zero} 00 ${zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0`,
    `${zero} 00 ${zero} 00 fd780000000000000000000000000001 00000400 00000001 00000000 00000003     eth0`,
    `${zero} 00 ${zero} 00 ${zero} ffffffff 00000001 00000000 00200200       lo`,
    '',
  ].join('\n');
  expect(gateways6(text, (name) => (name === 'eth0' ? 2 : 0))).toEqual([
    {ip: 'fe80::1', interface: 'eth0', scope: 2},
    {ip: 'fd78::1', interface: 'eth0', scope: 0},
  ]);
});

test('what is no table of routes has no gateways, and nothing is thrown', () => {
  fc.assert(
    fc.property(fc.string({maxLength: 200}), (text) => {
      expect(gateways6(text, () => 0)).toEqual([]);
      gateways4(text);
    }),
  );
});

describe('next to', () => {
  test.each<[string, number, string[]]>([
    ['10.0.1.7', 24, ['10.0.1.6', '10.0.1.8']],
    ['10.0.1.1', 24, ['10.0.1.2']],
    ['10.0.1.254', 24, ['10.0.1.253']],
    ['10.0.1.7', 32, []],
    ['10.0.1.7', 31, []],
    ['10.0.255.255', 8, ['10.0.255.254', '10.1.0.0']],
    ['fd00::7', 64, ['fd00::6', 'fd00::8']],
    ['fd00::ffff', 64, ['fd00::fffe', 'fd00::1:0']],
    ['fd00::7', 128, []],
  ])('%s/%i is %j', (ip, prefix, near) => {
    expect(nextTo({ip, prefix, interface: 'eth0', family: ip.includes(':') ? 6 : 4})).toEqual(near);
  });
});

test('this machine has surroundings', () => {
  expect(lookAround().addresses.map(({interface: name}) => name)).toEqual(
    expect.arrayContaining(ownAddresses(networkInterfaces()).map(({interface: name}) => name)),
  );
});

describe('the routes of a pod look like', () => {
  const of = (own: string, prefix: number, gateway: string): Surroundings => ({
    addresses: [{ip: own, family: 4, interface: 'eth0', prefix}],
    gateways: [{ip: gateway, interface: 'eth0', scope: 0}],
  });
  test.each<[string, Surroundings, string, string | null]>([
    ['Calico', of('10.0.1.7', 32, '169.254.1.1'), '169.254.1.1 0x1 0x2 EE:EE:EE:EE:EE:EE * eth0', 'Calico'],
    ['its look-alike', of('10.0.1.7', 32, '169.254.1.1'), '', 'Calico or the AWS VPC CNI'],
    ['Cilium', of('10.0.1.7', 32, '10.0.1.123'), '', 'Cilium'],
    ['a bridge', of('10.0.1.7', 24, '10.0.1.1'), '', null],
    ['nothing', {addresses: [], gateways: []}, '', null],
  ])('%s', (_title, around, arp, name) => {
    expect(dataplaneOf(around, arp)).toBe(name);
  });
});
