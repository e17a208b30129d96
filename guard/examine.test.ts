import {createSecureContext} from 'node:tls';
import {describe, expect, test} from '@jest/globals';
import type {CaptureProof} from '../runtime/capture-proof.ts';
import {PROOF} from '../runtime/names.ts';
import type {Answer, Dial, Reach} from './dial.ts';
import {examine, type Examination, type Examined, type Means} from './examine.ts';
import {describe as text} from './findings.ts';
import type {Fate, Probe} from './probe.ts';
import type {Surroundings} from './surroundings.ts';

const UID = 'uid-1';
const EXAMINED: Examined = {
  context: createSecureContext(),
  podUid: UID,
  podIps: ['10.0.1.7', 'fd00::7'],
  nodeIps: ['192.168.7.5'],
};
const AROUND: Surroundings = {
  addresses: [
    {ip: '10.0.1.7', family: 4, interface: 'eth0', prefix: 24},
    {ip: 'fd00::7', family: 6, interface: 'eth0', prefix: 64},
  ],
  gateways: [
    {ip: '10.0.1.1', interface: 'eth0', scope: 0},
    {ip: 'fe80::1', interface: 'eth0', scope: 2},
  ],
};
const proof = (hold: CaptureProof['hold'] = 'locked', uid = UID): Answer => ({
  kind: 'proved',
  proof: {pod: {namespace: 'default', name: 'web', uid}, node: 'node-7', hold, version: '1'},
});
const REFUSED: Fate = {kind: 'refused', by: '10.0.1.1'};
const SILENT: Fate = {kind: 'silent'};
const bounced = (family: 4 | 6, type: number, code: number): Fate => ({
  kind: 'bounced',
  error: {family, type, code, by: '10.0.1.6'},
});

interface World {
  readonly answer?: (dial: Dial) => Answer;
  readonly fate?: (probe: Probe) => Fate;
  readonly reach?: (ip: string) => Reach;
  readonly around?: Surroundings;
  readonly examined?: Examined;
}
/** Everything is captured and locked, and neighbours are silent, where nothing else is said. */
async function look(
  world: World = {},
): Promise<{result: Examination; dialled: Dial[]; probed: Probe[]; reached: string[]}> {
  const dialled: Dial[] = [];
  const probed: Probe[] = [];
  const reached: string[] = [];
  const means: Means = {
    askForProof: async (dial) => {
      dialled.push(dial);
      return world.answer?.(dial) ?? proof();
    },
    probe: async (probe) => {
      probed.push(probe);
      return world.fate?.(probe) ?? (isNeighbour(probe) ? SILENT : REFUSED);
    },
    reach: async (ip) => {
      reached.push(ip);
      return world.reach?.(ip) ?? 'taken';
    },
  };
  const result = await examine(world.examined ?? EXAMINED, world.around ?? AROUND, means);
  return {result, dialled, probed, reached};
}
const isNeighbour = ({to}: Probe): boolean => ['10.0.1.6', '10.0.1.8', 'fd00::6', 'fd00::8'].includes(to.ip);
const found = async (world: World): Promise<string> => {
  const {result} = await look(world);
  return 'finding' in result ? text(result.finding, {node: 'node-7', dataplane: null}) : 'passed';
};

describe('a pod that is captured and locked', () => {
  test('passes, with a proof of each family', async () => {
    const {result} = await look();
    expect(result).toMatchObject({passed: {families: [4, 6], untried: []}});
  });

  test('is asked on the named port and on one that nobody names, from its own address', async () => {
    const {dialled} = await look();
    expect(dialled.map(({ip, from, port}) => [ip, from, port === PROOF.port])).toEqual([
      [PROOF.ip4, '10.0.1.7', true],
      [PROOF.ip4, '10.0.1.7', false],
      [PROOF.ip6, 'fd00::7', true],
      [PROOF.ip6, 'fd00::7', false],
    ]);
  });

  test('has everything tried that no policy can allow: far, the gateways, the node and who is next door', async () => {
    const {probed, reached} = await look();
    expect([...new Set(probed.map(({protocol, to}) => `${protocol} ${to.ip}`))].sort()).toEqual(
      [
        ...[PROOF.ip4, PROOF.ip6, '10.0.1.1', 'fe80::1', '192.168.7.5'].flatMap((ip) => [`udp ${ip}`, `icmp ${ip}`]),
        ...['10.0.1.6', '10.0.1.8', 'fd00::6', 'fd00::8'].map((ip) => `udp ${ip}`),
      ].sort(),
    );
    expect(probed.find(({to}) => to.ip === 'fe80::1')!.to.scope).toBe(2);
    expect(reached).toEqual(['10.0.1.1', '192.168.7.5']);
  });

  test('passes where ICMP sockets cannot be had, and that is known', async () => {
    const fate = (probe: Probe): Fate =>
      isNeighbour(probe) ? SILENT : probe.protocol === 'icmp' ? {kind: 'impossible', code: 'EACCES'} : REFUSED;
    const {result} = await look({fate});
    expect('passed' in result && result.passed.untried).toContain(`ICMP to ${PROOF.ip4} (EACCES)`);
  });

  test('passes where a rule inside of the pod keeps the packet', async () => {
    expect(await found({fate: (probe) => (isNeighbour(probe) ? SILENT : {kind: 'kept', code: 'EPERM'})})).toBe(
      'passed',
    );
  });

  test('passes with IPv4 alone where IPv6 has no route', async () => {
    const answer = ({ip}: Dial): Answer => (ip === PROOF.ip6 ? {kind: 'no-connection', code: 'ENETUNREACH'} : proof());
    expect((await look({answer})).result).toMatchObject({passed: {families: [4]}});
  });
});

test('a pod that only Audit policies select has its capture proved, and nothing else', async () => {
  const {result, probed} = await look({answer: () => proof('captured')});
  expect(result).toMatchObject({passed: {families: [4, 6]}});
  expect(probed).toEqual([]);
});

describe('a pod fails', () => {
  test.each<[string, World, RegExp]>([
    ['without an address', {around: {addresses: [], gateways: []}}, /^NoAddress/],
    [
      'without a route',
      {answer: () => ({kind: 'no-connection', code: 'ENETUNREACH'})},
      /^NoRoute: .* neither for IPv4 nor for IPv6/,
    ],
    [
      'with an interface that is not its own',
      {
        around: {
          ...AROUND,
          addresses: [...AROUND.addresses, {ip: '10.9.0.2', family: 4, interface: 'net1', prefix: 24}],
        },
      },
      /^SecondInterface: net1 with 10\.9\.0\.2/,
    ],
    [
      'with one whose interface comes first',
      {around: {...AROUND, addresses: [{ip: '10.9.0.2', family: 4, interface: 'a0', prefix: 24}, ...AROUND.addresses]}},
      /^SecondInterface: a0 with 10\.9\.0\.2/,
    ],
    ['that is taken for another', {answer: () => proof('locked', 'uid-2')}, /^WrongPod: .*uid uid-2/],
    ['that an Audit policy selects and is taken for another', {answer: () => proof('captured', 'x')}, /^WrongPod/],
    [
      'whose other ports are not captured',
      {answer: ({port}) => (port === PROOF.port ? proof() : {kind: 'no-connection', code: 'ETIMEDOUT'})},
      /^NotCaptured: nothing answers at 192\.0\.2\.151:\d+ \(ETIMEDOUT\)/,
    ],
    [
      'whose connection is refused, as behind an Istio that does not run yet',
      {answer: () => ({kind: 'no-connection', code: 'ECONNREFUSED'})},
      /^NotCaptured: a connection .* was refused.*Istio's CNI plugin/,
    ],
    [
      'that the proxy does not know',
      {answer: () => ({kind: 'no-tls', code: 'ECONNRESET'})},
      /it does not know this pod yet/,
    ],
    ['whose proxy is older', {answer: () => ({kind: 'no-proof', said: 'HTTP/1.1 404 Not Found'})}, /^NoProof: .*404/],
    ['whose UDP is silent', {fate: () => SILENT}, /UDP to 192\.0\.2\.151 left without a word/],
    ['whose UDP is answered', {fate: () => ({kind: 'answered'})}, /UDP to 192\.0\.2\.151 was answered/],
    [
      'whose UDP came back from a router that knows no such host: it was let out',
      {fate: () => bounced(4, 3, 1)},
      /UDP to 192\.0\.2\.151 came back with ICMP type 3, code 1 from 10\.0\.1\.6/,
    ],
    [
      'whose UDP reaches its gateway',
      {fate: ({to, protocol}) => (to.ip === '10.0.1.1' && protocol === 'udp' ? bounced(4, 3, 3) : REFUSED)},
      /UDP to the gateway 10\.0\.1\.1 came back/,
    ],
    [
      'whose echo requests reach its node',
      {fate: ({to, protocol}) => (to.ip === '192.168.7.5' && protocol === 'icmp' ? {kind: 'answered'} : REFUSED)},
      /ICMP to the node's address 192\.168\.7\.5 was answered/,
    ],
    [
      'whose TCP reaches its node',
      {reach: (ip) => (ip === '192.168.7.5' ? 'reset' : 'taken')},
      /TCP to the node's address/,
    ],
    [
      'whose neighbour hears it',
      {fate: (probe) => (probe.to.ip === '10.0.1.6' ? bounced(4, 3, 3) : REFUSED)},
      /UDP to the neighbour 10\.0\.1\.6 came back/,
    ],
    [
      'whose neighbour hears it over IPv6',
      {fate: (probe) => (probe.to.ip === 'fd00::8' ? bounced(6, 1, 4) : REFUSED)},
      /UDP to the neighbour fd00::8 came back/,
    ],
  ])('%s', async (_title, world, message) => {
    expect(await found(world)).toMatch(message);
  });

  test('but not where nobody is next door: our own kernel says so', async () => {
    const fate = (probe: Probe): Fate =>
      isNeighbour(probe) ? (probe.to.ip.includes(':') ? bounced(6, 1, 3) : bounced(4, 3, 1)) : REFUSED;
    expect(await found({fate})).toBe('passed');
  });
});
