/** What a node's agent does while it cannot be told anything: the API server away, itself away, a history that is too old. */
import {expect} from '@jest/globals';
import type {PodSpec} from '../test/lab/cluster-node.ts';
import {
  clusterWorld,
  LONG_MS,
  nodeTest,
  OTHER_SITE,
  OTHER_URL,
  policyOf,
  ready,
  SITE,
  SITE_URL,
  soon,
} from '../test/lab/cluster-world.ts';
import {until} from '../test/waiting.ts';

const world = clusterWorld();
const it = nodeTest();
const pod = (name: string): PodSpec => ({namespace: 'shop', name});

it(
  'while the API server is away the last state is enforced, and afterwards what changed is followed',
  async () => {
    const n = await world.open();
    world.apply(policyOf('shop', 'p', SITE));
    const agent = await n.startAgent();
    await ready(agent);
    await n.startPod(pod('web'));
    await soon(() => n.curl('web', OTHER_URL), '403');
    await world.cluster.stopApiServer();
    try {
      await agent.logged(({event, message}) => event === 'cluster.away' && message!.includes('last state stays'));
      expect([await n.curl('web', SITE_URL), await n.curl('web', OTHER_URL)]).toEqual(['200', '403']);
      expect((await agent.ready()).status).toBe(200);
    } finally {
      await world.cluster.startApiServer();
    }
    world.apply(policyOf('shop', 'p', OTHER_SITE));
    await n.startPod(pod('late'));
    for (const name of ['web', 'late']) await soon(() => n.curl(name, SITE_URL), '403', agent);
    expect(await n.curl('web', OTHER_URL)).toBe('200');
  },
  LONG_MS,
);

it(
  'an agent that starts while the API server is away frees nobody, and holds on when it is back',
  async () => {
    const n = await world.open();
    world.apply(policyOf('shop', 'p', SITE));
    const before = await n.startAgent();
    await ready(before);
    await n.startPod(pod('web'));
    await soon(() => n.curl('web', OTHER_URL), '403');
    await before.stop();
    n.cutOff(true);
    const agent = await n.startAgent();
    await agent.logged(({event}) => event === 'cluster.away');
    // Captured by what is in the kernel, refused for want of a policy.
    expect(await n.curl('web', SITE_URL)).toBe('503');
    expect((await agent.ready()).status).toBe(503);
    n.cutOff(false);
    await ready(agent);
    expect([await n.curl('web', SITE_URL), await n.curl('web', OTHER_URL)]).toEqual(['200', '403']);
  },
  LONG_MS,
);

it(
  'a history that the API server has forgotten is made up for: pods that came and went meanwhile',
  async () => {
    const n = await world.open();
    world.apply(policyOf('shop', 'p', SITE));
    const agent = await n.startAgent();
    await ready(agent);
    const gone = await n.startPod(pod('gone'));
    await soon(() => n.curl('gone', OTHER_URL), '403');
    n.cutOff(true);
    await agent.logged(({event}) => event === 'cluster.away');
    world.done(['delete', 'pod', '-n', 'shop', 'gone', '--force', '--grace-period=0']);
    await n.unplug('gone');
    await n.startPod(pod('came'));
    expect(await n.curl('came', OTHER_URL)).toBe('200');
    // Its watch cache begins anew, after what the agent has seen.
    await world.cluster.stopApiServer();
    await world.cluster.startApiServer();
    n.cutOff(false);
    await soon(() => n.curl('came', OTHER_URL), '403', agent);
    expect(await n.curl('came', SITE_URL)).toBe('200');
    const state = async () => (await agent.ready()).body as {capture?: {ended: string[]}; workloads?: {count: number}};
    await until(
      state,
      ({capture, workloads}) => capture?.ended.includes(gone.ip4) === false && workloads?.count === 1,
      {said: agent.said},
    );
  },
  LONG_MS,
);
