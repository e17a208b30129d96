/** A node's agent whose first transactions fail, while the pods that are to be held change. */
import {spawnSync} from 'node:child_process';
import {chmodSync, mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect} from '@jest/globals';
import {
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
import {until} from '../test/waiting.ts';

const world = clusterWorld();
const it = nodeTest();

it(
  'a start that failed is tried again with the pods that are there then, not with those of the try that failed first',
  async () => {
    const n = await world.open();
    world.apply(policyOf('shop', 'p', SITE));
    const bin = join(n.dir, 'bin');
    const [held, fails] = [join(n.dir, 'held'), join(n.dir, 'fails')];
    mkdirSync(bin);
    const where = spawnSync('sh', ['-c', 'PATH="$PATH:/usr/sbin:/sbin"; command -v nft'], {encoding: 'utf8'});
    // An nft that waits, and then fails, as long as the test says.
    const script = `while [ -e ${held} ]; do sleep 0.05; done\n[ -e ${fails} ] && exit 1\nexec ${where.stdout.trim()} "$@"`;
    writeFileSync(join(bin, 'nft'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, 'nft'), 0o755);
    writeFileSync(held, '');
    writeFileSync(fails, '');
    const agent = await n.startAgentUnder(['env', `PATH=${bin}:${process.env['PATH'] ?? ''}`]);
    const known = async () => (await agent.ready()).body;
    await until(known, (body) => JSON.stringify(body).includes('"synced":true'), {said: agent.said});
    // The first try is under way, and this waits behind it.
    await n.startPod({namespace: 'shop', name: 'web'});
    await until(known, (body) => JSON.stringify(body).includes('"workloads":{"count":1}'), {said: agent.said});
    rmSync(held);
    // Each has had its try, and failed.
    await agent.logged(({event}) => event === 'capture.failed');
    const capture = async () => (await known())['capture'] as {current: boolean; started: boolean} | undefined;
    await until(capture, (now) => now?.current === true && !now.started, {said: agent.said});
    rmSync(fails);
    await ready(agent);
    await soon(() => n.curl('web', OTHER_URL), '403', agent);
    expect(await n.curl('web', SITE_URL)).toBe('200');
  },
  LONG_MS,
);
