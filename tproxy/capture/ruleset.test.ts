import {readFileSync, writeFileSync} from 'node:fs';
import {describe, expect, test} from '@jest/globals';
import type {Capture, CaptureConfig} from './config.ts';
import {DEFAULT_MARKS, marksFrom} from './marks.ts';
import {guardChanges, guardRules} from './ruleset-guard.ts';
import {ruleset} from './ruleset.ts';
import {BRIDGE_COUNTERS, COUNTERS} from './tables.ts';

const CONFIG: CaptureConfig = {
  intercept: 'tproxy',
  capturedPort: 15080,
  explicitPort: 15081,
  closedPorts: [15082, 15083, 15084],
  resolvers: [{ip: '10.96.0.10', port: 53}],
  nodeCidrs: [],
  nat64Prefixes: [],
  podInterfaces: [],
  lockPodAddresses: false,
  meshDestinations: [],
  marks: DEFAULT_MARKS,
  routeTable: 15080,
  rulePriority: 10,
};
const locked = {mode: 'locked', uid: 'a', interface: 'veth1', port: null} as const;
const onBridge = {mode: 'locked', uid: 'c', interface: 'cni0', port: 'veth3'} as const;
const cni0 = {name: 'cni0', mac: '02:00:00:00:00:01', ports: ['veth3', 'veth4']};
const captures: Record<string, Capture> = {
  'two-pods': {
    config: CONFIG,
    members: [
      {...locked, ip: '10.244.0.5'},
      {...locked, ip: 'fd00:10:244::5'},
      {ip: '10.244.0.6', mode: 'captured', uid: 'b', interface: 'veth2', port: null},
      // No route to it yet: closed wherever it appears.
      {...locked, ip: '10.244.0.7', interface: null},
    ],
    bridges: [],
    podCidrs: [],
  },
  'on-a-bridge': {
    config: {
      ...CONFIG,
      resolvers: [
        {ip: '10.96.0.10', port: 53},
        {ip: 'fd00:10:96::a', port: 5353},
      ],
    },
    members: [
      {...onBridge, ip: '10.244.0.5'},
      {...onBridge, ip: 'fd00:10:244::5'},
    ],
    bridges: [cni0],
    podCidrs: [],
  },
  redirect: {
    config: {
      ...CONFIG,
      intercept: 'redirect',
      explicitPort: null,
      podInterfaces: ['cali*', 'eni0'],
      nodeCidrs: ['192.168.1.0/24', '2001:db8:1::/64'],
      nat64Prefixes: ['2001:db8:64::/96', '2001:db8:65::/56'],
      marks: marksFrom(0x10, 0xf0),
    },
    members: [
      {...locked, ip: '10.244.0.5'},
      {ip: '10.244.0.9', mode: 'free', uid: 'f', interface: 'veth9', port: null},
    ],
    bridges: [],
    podCidrs: [],
  },
  'every-pod': {
    config: {
      ...CONFIG,
      podInterfaces: ['cali*'],
      lockPodAddresses: true,
      meshDestinations: [
        {cidr: '10.244.0.0/16', port: null},
        {cidr: '10.96.0.0/12', port: null},
        {cidr: '192.168.7.10/32', port: 6443},
        {cidr: 'fd00:10::/32', port: null},
      ],
    },
    members: [
      {...locked, ip: '10.244.1.5'},
      {ip: '10.244.1.6', mode: 'sidecar', uid: 's', interface: 'veth2', port: null},
      {ip: 'fd00:10:244:1::6', mode: 'sidecar', uid: 's', interface: 'veth2', port: null},
      {ip: '10.244.1.7', mode: 'free', uid: 'f', interface: 'veth3', port: null},
    ],
    bridges: [],
    podCidrs: ['10.244.1.0/24', 'fd00:10:244:1::/64'],
  },
};

describe('the ruleset as text', () => {
  // UPDATE_GOLDEN=1 writes the files; `git diff` is the review.
  test.each(Object.keys(captures))('%s is as it was reviewed', (name) => {
    const file = new URL(`./testdata/${name}.nft`, import.meta.url);
    const text = ruleset(captures[name]!);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
    expect(text).toBe(readFileSync(file, 'utf8'));
  });

  test.each(Object.keys(captures))('the guard of %s is as it was reviewed', (name) => {
    const file = new URL(`./testdata/${name}.guard.nft`, import.meta.url);
    const text = `${guardRules(captures[name]!).join('\n')}\n`;
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
    expect(text).toBe(readFileSync(file, 'utf8'));
  });

  test('the guard follows a change of members by its sets alone, and says nothing where nothing changed', () => {
    const before = captures['two-pods']!;
    const [first, ...rest] = before.members;
    expect(guardChanges(before, before)).toEqual([]);
    expect(guardChanges(before, {...before, members: rest})).toEqual([
      `delete element inet sallyport_guard captured4 { "veth1" . ${first!.ip} }`,
      `delete element inet sallyport_guard locked4 { "veth1" . ${first!.ip} }`,
      `delete element inet sallyport_guard addresses4 { ${first!.ip} }`,
    ]);
  });

  test('what was there is deleted in the same transaction that makes it anew', () => {
    expect(ruleset(captures['two-pods']!)).toMatch(/^add table inet sallyport\ndelete table inet sallyport\n/);
  });

  test('every counter that a rule names is declared and described, and the other way round', () => {
    const text = Object.values(captures).map(ruleset).join('\n');
    const used = [...text.matchAll(/counter name (\w+)/g)].map((match) => match[1]!);
    expect([...new Set(used)].sort()).toEqual(Object.keys({...COUNTERS, ...BRIDGE_COUNTERS}).sort());
  });

  test('no rule drops, rejects or takes without counting', () => {
    const rules = Object.values(captures).flatMap((capture) => ruleset(capture).split('\n'));
    const silent = rules.filter(
      (rule) => /\b(drop|reject with .*|tproxy .*)$/.test(rule) && !rule.includes('counter name'),
    );
    expect(silent).toEqual([]);
  });

  test('on a bridge where a member’s port is not known, every port is led through the rules and foreign sources are closed', () => {
    const text = ruleset({
      config: CONFIG,
      members: [{...onBridge, ip: '10.244.0.5', port: null}],
      bridges: [cni0],
      podCidrs: [],
    });
    expect(text).toMatch(/set routed_ports_0 \{\n\s+type ifname\n\s+elements = \{ "veth3", "veth4" \}/);
    expect(text).toMatch(/set closed_interfaces \{\n\s+type ifname\n\s+elements = \{ "cni0" \}/);
  });
});

describe('marks', () => {
  test('three values next to each other under the mask', () => {
    expect(marksFrom(0x5a110000, 0xffff0000)).toEqual({
      taken: 0x5a110000,
      dialled: 0x5a120000,
      passed: 0x5a130000,
      mask: 0xffff0000,
    });
  });

  test.each([
    ['beyond the mask', 0x100, 0xf0],
    ['the last value runs out of it', 0xe0, 0xf0],
    ['zero, which is every packet’s', 0, 0xf0],
  ])('refused: %s', (_why, taken, mask) => {
    expect(() => marksFrom(taken, mask)).toThrow(RangeError);
  });
});
