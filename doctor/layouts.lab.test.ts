/** The checks of the kernel's part, on every layout that the capture knows: they are ok where all is well, and fail where it is not. */
import {afterEach, describe, expect} from '@jest/globals';
import {createRig, type Rig, type RigOptions} from '../test/lab/capture-rig.ts';
import {labTest} from '../test/lab/require.ts';
import {PORTS, TPROXY_ROUTE_TABLE} from '../runtime/names.ts';
import type {CaptureConfig, Hold, Member} from '../tproxy/capture/config.ts';
import {DEFAULT_MARKS} from '../tproxy/capture/marks.ts';
import {place} from '../tproxy/capture/topology.ts';
import {nodeMembers} from './checks/node-members.ts';
import {nodeProbe} from './checks/node-probe.ts';
import {nodeGuard, nodeRules} from './checks/node-rules.ts';
import {nodeRouting} from './checks/node-routing.ts';
import type {NodeWorld} from './node/world.ts';
import type {Outcome} from './outcome.ts';

const TIMEOUT_MS = 60_000;
const it = labTest('nft', 'conntrack', 'unshare', 'nsenter');
const CHECKS = {rules: nodeRules, guard: nodeGuard, routing: nodeRouting, members: nodeMembers, probe: nodeProbe};

const CONFIG: CaptureConfig = {
  intercept: 'tproxy',
  capturedPort: PORTS.captured,
  explicitPort: PORTS.explicit,
  closedPorts: [PORTS.admin],
  resolvers: [{ip: '203.0.113.53', port: 53}],
  nodeCidrs: ['10.78.0.0/24'],
  nat64Prefixes: [],
  podInterfaces: [],
  lockPodAddresses: false,
  meshDestinations: [],
  marks: DEFAULT_MARKS,
  routeTable: TPROXY_ROUTE_TABLE,
  rulePriority: 90,
};

let rig: Rig | null = null;
afterEach(async () => {
  await rig?.close();
  rig = null;
}, TIMEOUT_MS);

interface Layout {
  readonly options: Omit<RigOptions, 'pods' | 'members' | 'config'>;
  readonly config: Partial<CaptureConfig>;
  readonly hold: Hold;
  /** The node's pod addresses, all of which are held. */
  readonly podCidrs?: readonly string[];
}

/** Each check's word on a node whose pod `app` is held so. */
async function open({
  options,
  config,
  hold,
  podCidrs = [],
}: Layout): Promise<(check: keyof typeof CHECKS) => Promise<Outcome>> {
  const wanted = {...CONFIG, ...config};
  let members: Member[] = [];
  rig = await createRig({
    ...options,
    pods: [{name: 'app'}, {name: 'other'}],
    config: wanted,
    members: (lab) =>
      (members = lab.pod('app').ips.map((ip) => ({ip, interface: lab.pod('app').port, mode: hold, uid: 'u'}))),
  });
  await rig.capture.update(members, podCidrs);
  const {commands} = rig;
  const none = (): never => {
    throw new Error('there is no agent here');
  };
  const world: NodeWorld = {
    ...{commands, now: Date.now, known: none, admin: none},
    agent: () => ({config: {intercept: wanted.intercept, mtls: null}}) as ReturnType<NodeWorld['agent']>,
    capture: async () => ({config: wanted, podCidrs, ...(await place(commands, members))}),
  };
  return (check) => CHECKS[check].run(world);
}

const LAYOUTS: readonly (readonly [string, Layout])[] = [
  ['a veth each, locked', {options: {}, config: {}, hold: 'locked'}],
  ['a veth each, watched (Audit)', {options: {}, config: {}, hold: 'captured'}],
  ['on a bridge', {options: {bridge: true}, config: {}, hold: 'locked'}],
  ['by redirect', {options: {}, config: {intercept: 'redirect'}, hold: 'locked'}],
  [
    'by redirect, on a bridge with br_netfilter',
    {options: {bridge: true, bridgeNetfilter: true}, config: {intercept: 'redirect'}, hold: 'locked'},
  ],
  [
    'with every pod address held',
    {
      ...{options: {}, config: {lockPodAddresses: true}, hold: 'locked'},
      podCidrs: ['10.77.0.0/24', '10.99.0.7/32', 'fd77::/64', 'fd99::7/128'],
    },
  ],
  ['with every pod interface closed', {options: {}, config: {podInterfaces: ['p-*']}, hold: 'locked'}],
];

describe.each(LAYOUTS)('%s', (_, layout) => {
  it(
    'nothing is found where all is well',
    async () => {
      const look = await open(layout);
      const said = Object.fromEntries(
        await Promise.all(Object.keys(CHECKS).map(async (name) => [name, await look(name as keyof typeof CHECKS)])),
      ) as Record<string, Outcome>;
      expect(said).toEqual(
        Object.fromEntries(Object.keys(CHECKS).map((name) => [name, {kind: 'ok', found: said[name]!.found}])),
      );
      expect(said['probe']!.found).toMatch(/^from 1 of 1 pods/);
    },
    TIMEOUT_MS,
  );
  it(
    'rules that were flushed are found by comparison, and by the packets that go past them',
    async () => {
      const look = await open(layout);
      // Nobody puts it back: what was being compared when the watch ended is waited for.
      await rig!.capture.close();
      await new Promise((resolve) => setImmediate(resolve));
      await rig!.capture.check();
      for (const table of ['inet sallyport', 'bridge sallyport'])
        await rig!.commands.run(['nft', 'flush', 'table', ...table.split(' ')]);
      expect((await look('rules')).kind).toBe('fail');
      expect(await look('probe')).toMatchObject({kind: 'fail', found: expect.stringContaining('went past the rules')});
    },
    TIMEOUT_MS,
  );
});
