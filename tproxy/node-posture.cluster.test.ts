/** Which of a node's pods are held, by each posture, and for how long: labels and policies come and go while pods run. */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect} from '@jest/globals';
import type {PodSpec} from '../test/lab/cluster-node.ts';
import {
  BRIEFLY,
  clusterWorld,
  LONG_MS,
  nodeTest,
  OTHER_URL,
  policyOf,
  ready,
  SITE,
  SITE_URL,
  soon,
} from '../test/lab/cluster-world.ts';

const world = clusterWorld();
const it = nodeTest();
const pod = (name: string, more: Partial<PodSpec> = {}): PodSpec => ({namespace: 'shop', name, ...more});
const tproxy = {'sallyport.dev/mode': 'tproxy'};
/** An administrator's word that pods of the namespace are the mesh's. */
const mesh = (text: 'istio-injection=enabled' | 'istio-injection-'): void =>
  world.done(['label', 'namespace', 'shop', '--overwrite', text]);
const label = (name: string, text: string): void =>
  world.done(['label', 'pod', '-n', 'shop', name, '--overwrite', text]);

it(
  'annotated: a policy alone captures nobody; a label does, at once and for good, over a restart of the agent too',
  async () => {
    const n = await world.open();
    world.apply(policyOf('shop', 'p', SITE));
    let agent = await n.startAgent('--posture', 'annotated');
    await ready(agent);
    await n.startPod(pod('asks', {labels: tproxy}));
    await n.startPod(pod('says-nothing'));
    await soon(() => n.curl('asks', OTHER_URL), '403');
    expect(await n.curl('says-nothing', OTHER_URL)).toBe('200');
    label('says-nothing', 'sallyport.dev/mode=tproxy');
    await soon(() => n.curl('says-nothing', OTHER_URL), '403');
    // Taken back, by the pod and by the policy: what was captured stays so.
    for (const name of ['asks', 'says-nothing']) label(name, 'sallyport.dev/mode-');
    world.done(['delete', 'egresspolicy', '-n', 'shop', 'p']);
    for (const name of ['asks', 'says-nothing']) await soon(() => n.curl(name, SITE_URL), '403');
    const remembered = (): {latched: string[]} =>
      JSON.parse(readFileSync(join(n.dir, 'state', 'node.json'), 'utf8')) as {latched: string[]};
    await soon(async () => remembered().latched.length, 2);
    await agent.stop('SIGKILL');
    // Nothing gets out: while the worker has not noticed it refuses, or ends in the middle of that; then nobody listens.
    const shut = async (): Promise<string> => {
      const answer = await n.curl('asks', SITE_URL, BRIEFLY);
      expect(['403', 'curl exit 52', 'curl exit 56', 'curl exit 28']).toContain(answer);
      return answer;
    };
    await soon(shut, 'curl exit 28');
    // As after a reboot: the kernel knows nothing of us.
    for (const table of ['inet', 'bridge']) await n.lab.exec('node', ['nft', 'delete', 'table', table, 'sallyport']);
    agent = await n.startAgent('--posture', 'annotated');
    await ready(agent);
    for (const name of ['asks', 'says-nothing']) expect(await n.curl(name, OTHER_URL)).toBe('403');
    // Another pod of the same name is another pod.
    world.done(['delete', 'pod', '-n', 'shop', 'asks', '--force', '--grace-period=0']);
    await n.unplug('asks');
    await n.startPod(pod('asks-no-more'));
    expect(await n.curl('asks-no-more', OTHER_URL)).toBe('200');
  },
  LONG_MS,
);

it(
  'selected: a policy captures who never asked, and one who left its selector stays; a sidecar is the mesh’s',
  async () => {
    const n = await world.open();
    const {spec, ...rest} = policyOf('shop', 'p', SITE) as {spec: object};
    world.apply({...rest, spec: {...spec, podSelector: {matchLabels: {app: 'web'}}}});
    const agent = await n.startAgent();
    await ready(agent);
    await n.startPod(pod('web', {labels: {app: 'web'}}));
    await n.startPod(pod('other'));
    // Anybody may call a container that.
    mesh('istio-injection-');
    await n.startPod(pod('pretends', {labels: {app: 'web'}, containers: ['istio-proxy']}));
    await soon(() => n.curl('pretends', OTHER_URL), '403');
    mesh('istio-injection=enabled');
    await n.startPod(pod('meshed', {labels: {app: 'web'}, containers: ['istio-proxy']}));
    await n.startPod({namespace: 'kube-system', name: 'dns', labels: tproxy});
    await soon(() => n.curl('web', OTHER_URL), '403');
    expect(await n.curl('web', SITE_URL)).toBe('200');
    for (const name of ['other', 'meshed', 'dns']) expect([name, await n.curl(name, OTHER_URL)]).toEqual([name, '200']);
    label('web', 'app=free');
    await soon(() => n.curl('web', SITE_URL), '403');
    label('other', 'app=web');
    await soon(() => n.curl('other', OTHER_URL), '403');
  },
  LONG_MS,
);

it(
  'all: nothing leaves a pod before it is known; then policy decides, an exempt one is free, a sidecar reaches the mesh alone',
  async () => {
    const n = await world.open();
    world.apply(policyOf('shop', 'p', SITE));
    const agent = await n.startAgent('--posture', 'all', '--pod-cidr', '10.77.0.0/24', '--pod-cidr', 'fd77::/64');
    await ready(agent);
    // Plugged in, and nobody has said anything of it.
    const {ips} = await n.plugIn('web');
    expect(await n.curl('web', SITE_URL, BRIEFLY)).toBe('curl exit 28');
    n.createPod(pod('web'));
    n.setAddress(pod('web'), ips);
    await soon(() => n.curl('web', SITE_URL), '200');
    expect(await n.curl('web', OTHER_URL)).toBe('403');
    // No policy selects it: held all the same.
    await n.startPod({name: 'other'});
    await soon(() => n.curl('other', SITE_URL), '403');
    await n.startPod({namespace: 'kube-system', name: 'dns'});
    await soon(() => n.curl('dns', OTHER_URL), '200');
    mesh('istio-injection=enabled');
    const meshed = pod('meshed', {containers: ['istio-proxy']});
    await n.startPod(meshed);
    const server = n.lab.spawn('dns', ['python3', '-m', 'http.server', '8080', '--bind', n.lab.pod('dns').ip4]);
    await soon(() => n.curl('meshed', `http://${n.lab.pod('dns').ip4}:8080/`), '200');
    server.kill();
    // Refused, and not dropped: curl does not wait.
    for (const url of [SITE_URL, OTHER_URL]) expect(await n.curl('meshed', url)).toBe('curl exit 7');
    const {capture} = (await agent.ready()).body as {capture: {sidecars: number}};
    expect(capture.sidecars).toBe(2);
  },
  LONG_MS,
);

it(
  'all, when the node starts anew and the API server is away: every pod is locked, by the addresses that were remembered',
  async () => {
    const n = await world.open();
    const flags = ['--posture', 'all', '--pod-cidr', '10.77.0.0/24'];
    const before = await n.startAgent(...flags);
    await ready(before);
    await before.stop();
    for (const table of ['inet', 'bridge']) await n.lab.exec('node', ['nft', 'delete', 'table', table, 'sallyport']);
    await n.plugIn('web');
    expect(await n.curl('web', SITE_URL)).toBe('200');
    n.cutOff(true);
    const agent = await n.startAgent(...flags);
    await agent.logged(({event}) => event === 'cluster.away');
    expect(await n.curl('web', SITE_URL, BRIEFLY)).toBe('curl exit 28');
    expect((await agent.ready()).status).toBe(503);
    n.cutOff(false);
    await ready(agent);
    // Still nobody's object: locked.
    expect(await n.curl('web', SITE_URL, BRIEFLY)).toBe('curl exit 28');
  },
  LONG_MS,
);
