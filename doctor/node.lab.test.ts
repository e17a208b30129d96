/** `sallyport doctor` on a node whose `sallyport tproxy` is real, and what it says when something of it is broken. */
import {chmodSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {proxiedLab, type ProxiedLab} from '../test/lab/proxied.ts';
import {labTest} from '../test/lab/require.ts';
import {until} from '../test/waiting.ts';
import {childrenOf} from './node/processes.ts';

const it = labTest('nft', 'conntrack', 'unshare', 'nsenter', 'curl');
const TIMEOUT_MS = 120_000;

interface Line {
  readonly check: string;
  readonly verdict: 'ok' | 'warn' | 'FAIL';
  readonly looked: boolean;
  readonly found: string;
  readonly fix: string;
}

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'default'},
  spec: {podSelector: {}, rules: [{name: 'a', to: {hosts: ['a.test'], schemes: ['http']}}]},
};

let world: ProxiedLab;
beforeAll(async () => {
  world = await proxiedLab({name: 'doctor', policies: [POLICY]});
  await world.addSite(
    'a.test',
    80,
    createServer((_, response) => response.end('hello')),
  );
}, TIMEOUT_MS);
afterAll(() => world?.close());

async function run(where: string, ...argv: string[]): Promise<{status: number | null; stdout: string; stderr: string}> {
  return world.lab.exec(where, [process.execPath, 'cli/main.ts', 'doctor', ...argv], {timeoutMs: TIMEOUT_MS});
}

async function lines(...argv: string[]): Promise<Line[]> {
  const {stdout, stderr} = await run('node', '-o', 'json', ...argv);
  expect(stderr).toBe('');
  return (JSON.parse(stdout) as {checks: Line[]}).checks;
}

const unwell = (all: readonly Line[]): Line[] => all.filter(({verdict}) => verdict !== 'ok');
const of = (check: string, all: readonly Line[]): Line => all.find((line) => line.check === check)!;
async function shell(command: string): Promise<string> {
  const {status, stdout, stderr} = await world.lab.exec('node', ['sh', '-ec', command]);
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
  return stdout.trim();
}

/** Until all is well again but what the agent remembers of it (drifts). */
async function well(): Promise<void> {
  for (const until = Date.now() + TIMEOUT_MS / 2; ;) {
    const ill = unwell(await lines('--skip', 'node.agent', '--skip', 'node.probe'));
    if (ill.length === 0) return;
    if (Date.now() > until) throw new Error(JSON.stringify(ill));
  }
}

/** With the agent stopped, since it puts back what is broken; resolves with what doctor said meanwhile. It cannot answer then. */
async function stopped(
  broken: () => Promise<unknown>,
  repair: () => Promise<unknown> = async () => {},
  skip: readonly string[] = ['node.agent', 'node.workers'],
): Promise<Line[]> {
  const pid = world.proxy.pid!;
  process.kill(pid, 'SIGSTOP');
  try {
    await broken();
    return await lines(...skip.flatMap((check) => ['--skip', check]));
  } finally {
    await repair();
    process.kill(pid, 'SIGCONT');
    await well();
  }
}

describe('a node where all is well', () => {
  it(
    'every check is ok, with what was looked at, and the exit code is 0',
    async () => {
      const {status, stdout} = await run('node');
      expect(stdout).toMatch(/13 ok, 0 warnings, 0 failed\n$/);
      expect(stdout).toMatch(/^ok {4}node\.probe .*from 1 of 1 pods: TCP is taken/m);
      expect(status).toBe(0);
    },
    TIMEOUT_MS,
  );
  it(
    'it changes nothing: the rules, the routing and the files are as they were',
    async () => {
      const state = async (): Promise<string> =>
        (await shell(
          'nft -s list ruleset; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all | grep -v cache',
        )) + readdirSync(world.caDir).sort().join();
      const before = await state();
      await lines();
      expect(await state()).toBe(before);
    },
    TIMEOUT_MS,
  );
  it(
    'a check that is skipped is not in the report',
    async () => {
      const checks = (await lines('--skip', 'node.probe', '--skip', 'node.ca')).map(({check}) => check);
      expect(checks).toHaveLength(11);
      expect(checks).not.toContain('node.probe');
    },
    TIMEOUT_MS,
  );
});

describe('rules', () => {
  it(
    'a lock that was emptied is found by comparison and by the packets that go past it',
    async () => {
      const all = await stopped(() => shell('nft flush chain inet sallyport lock'));
      expect(of('node.rules', all)).toMatchObject({
        verdict: 'FAIL',
        found: expect.stringMatching(/^4 missing \(chain lock: /),
      });
      expect(of('node.probe', all)).toMatchObject({
        verdict: 'FAIL',
        found: expect.stringContaining('went past the rules'),
      });
    },
    TIMEOUT_MS,
  );
  it(
    'a rule that somebody put in front is found, though packets that are probed still come by',
    async () => {
      const all = await stopped(() => shell('nft insert rule inet sallyport pod tcp dport 4444 accept'));
      expect(of('node.rules', all)).toMatchObject({
        verdict: 'FAIL',
        found: expect.stringContaining('1 not ours (chain pod: tcp dport 4444 accept)'),
      });
      expect(of('node.probe', all).verdict).toBe('ok');
    },
    TIMEOUT_MS,
  );
  it(
    'tables that are gone',
    async () => {
      const all = await stopped(() => shell('nft delete table inet sallyport'));
      expect(of('node.rules', all).found).toContain('no table inet sallyport: nothing is captured');
      expect(of('node.members', all).verdict).toBe('FAIL');
      expect(of('node.probe', all).verdict).toBe('FAIL');
    },
    TIMEOUT_MS,
  );
  it(
    'an address that the node gets while the agent runs is one of the node’s to the kernel, and nothing foreign',
    async () => {
      const refused = (): Promise<string> => shell('nft list set inet sallyport refused4');
      await shell('ip addr add 10.99.0.7/32 dev lo');
      await until(refused, (text) => text.includes('10.99.0.7'));
      await well();
      await shell('ip addr del 10.99.0.7/32 dev lo');
      await well();
      expect(await refused()).not.toContain('10.99.0.7');
    },
    TIMEOUT_MS,
  );
  it(
    'the guard that is gone is a warning: the rules hold, until somebody flushes them',
    async () => {
      const guard = childrenOf(world.proxy.pid!).filter((pid) => cmdline(pid).endsWith('nft -i'));
      expect(guard).toHaveLength(1);
      const all = await stopped(async () => {
        process.kill(guard[0]!, 'SIGKILL');
        while ((await shell('nft list tables')).includes('sallyport_guard'));
      });
      expect(of('node.guard', all)).toMatchObject({
        verdict: 'warn',
        found: expect.stringContaining('inet sallyport_guard'),
      });
      expect(of('node.rules', all).verdict).toBe('ok');
    },
    TIMEOUT_MS,
  );
  it.each([
    ['ip rule del priority 90', 'ip -4 rule add fwmark'],
    ['ip -6 route flush table 15080', 'ip -6 route add local default dev lo table 15080'],
  ])(
    '%s: what is taken goes nowhere',
    async (command, missing) => {
      const all = await stopped(() => shell(command));
      expect(of('node.routing', all)).toMatchObject({verdict: 'FAIL', found: expect.stringContaining(missing)});
      expect(of('node.probe', all).verdict).toBe('FAIL');
    },
    TIMEOUT_MS,
  );
});

describe('where no network namespace can be made to print our rules in', () => {
  const TOOLS = ['cat', 'conntrack', 'ip', 'lsns', 'nft', 'nsenter', 'sh'];
  /** A machine without unshare(1), as one that forbids it. */
  async function shaped(): Promise<Line[]> {
    const bin = mkdtempSync(join(world.dir, 'bin-'));
    for (const tool of TOOLS) symlinkSync(await shell(`command -v ${tool}`), join(bin, tool));
    const argv = [process.execPath, 'cli/main.ts', 'doctor', '-o', 'json', '--skip', 'node.agent'];
    const {stdout} = await world.lab.exec('node', argv, {timeoutMs: TIMEOUT_MS, env: {PATH: bin}});
    return (JSON.parse(stdout) as {checks: Line[]}).checks;
  }
  it(
    'they are compared by their shape, and that is said',
    async () => {
      expect(of('node.rules', await shaped())).toMatchObject({
        verdict: 'ok',
        found: expect.stringContaining('by their shape'),
      });
    },
    TIMEOUT_MS,
  );
  it(
    'a lock that was emptied and a rule in front are found all the same',
    async () => {
      let found = '';
      await stopped(async () => {
        await shell('nft flush chain inet sallyport lock; nft insert rule inet sallyport pod tcp dport 4444 accept');
        found = of('node.rules', await shaped()).found;
      });
      expect(found).toMatch(/^4 missing \(lock: counter name listener_away drop.*1 not ours \(pod: dport accept\)/);
    },
    TIMEOUT_MS,
  );
});

describe('members', () => {
  it(
    'a pod that is not held is a failure, and its packets prove it',
    async () => {
      const {interface: name, ip4} = world.lab.pod('app');
      const all = await stopped(() =>
        shell(
          `nft 'delete element inet sallyport locked4 { "${name}" . ${ip4} }; delete element inet sallyport captured4 { "${name}" . ${ip4} }; delete element inet sallyport addresses4 { ${ip4} }; delete element inet sallyport closed_interfaces { "${name}" }'`,
        ),
      );
      expect(of('node.members', all)).toMatchObject({
        verdict: 'FAIL',
        found: expect.stringContaining(`"${name}" . ${ip4} is not in captured4`),
      });
      expect(of('node.probe', all).verdict).toBe('FAIL');
      expect(of('node.rules', all).verdict).toBe('ok');
    },
    TIMEOUT_MS,
  );
  it(
    'an address that is nobody’s is a warning',
    async () => {
      const all = await stopped(() => shell(`nft 'add element inet sallyport locked4 { "p-free" . 10.77.0.99 }'`));
      expect(of('node.members', all)).toMatchObject({
        verdict: 'warn',
        found: '"p-free" . 10.77.0.99 is in locked4 and should not be',
      });
    },
    TIMEOUT_MS,
  );
  it(
    'a workload that the agent has not been told of yet',
    async () => {
      const file = join(world.dir, 'workloads.yaml');
      const before = readFileSync(file, 'utf8');
      const free = world.lab.pod('free');
      const all = await stopped(
        async () =>
          writeFileSync(
            file,
            `${before}- {ips: [${free.ip4}], interface: ${free.interface}, namespace: b, name: free}\n`,
          ),
        async () => writeFileSync(file, before),
      );
      expect(of('node.members', all).found).toContain(`"${free.interface}" . ${free.ip4} is not in captured4`);
    },
    TIMEOUT_MS,
  );
});

describe('the agent', () => {
  it(
    'one that hangs is found, and what needs no answer of its is looked at all the same',
    async () => {
      const all = await stopped(
        async () => {},
        async () => {},
        [],
      );
      expect(of('node.agent', all)).toMatchObject({verdict: 'FAIL', found: expect.stringContaining('does not answer')});
      expect(of('node.workers', all).looked).toBe(false);
      expect(of('node.rules', all).verdict).toBe('ok');
      expect(of('node.probe', all).verdict).toBe('ok');
    },
    TIMEOUT_MS,
  );
  it(
    'a worker that is gone: nobody listens, the packets are held and answered by nobody',
    async () => {
      const worker = childrenOf(world.proxy.pid!).find((pid) => cmdline(pid).includes('tproxy/worker.'))!;
      const all = await stopped(async () => {
        process.kill(worker, 'SIGKILL');
        while (readFileSync(`/proc/${worker}/stat`, 'utf8').includes(') R') || cmdline(worker) !== '');
      });
      expect(of('node.listeners', all)).toMatchObject({verdict: 'FAIL', found: expect.stringContaining('*:15080')});
      expect(of('node.probe', all).found).toContain('held but taken by nobody');
    },
    TIMEOUT_MS,
  );
  it(
    'a policy that it could not load',
    async () => {
      writeFileSync(join(world.dir, 'policies', 'bad.yaml'), 'kind: EgressPolicy\nspec: {rulez: []}\n');
      await world.seen((line) => line.event === 'policy.failed');
      const {verdict, found, fix} = of('node.agent', await lines());
      expect(verdict).toBe('FAIL');
      expect(found).toMatch(/last good documents stay in force.*bad\.yaml:1:/);
      expect(fix).toContain('sallyport check');
      writeFileSync(join(world.dir, 'policies', 'bad.yaml'), '');
    },
    TIMEOUT_MS,
  );
  it(
    'where none runs there is nothing to look at: exit 3, and where to go',
    async () => {
      const {status, stderr} = await run('free');
      expect(status).toBe(3);
      expect(stderr).toMatch(/NoAgent: no sallyport tproxy runs in this network namespace.*--kubeconfig/);
    },
    TIMEOUT_MS,
  );
  it(
    'asked for the node where none runs, every check says that it could not look',
    async () => {
      const {status, stdout} = await run('free', 'node', '-o', 'json', '--skip', 'node.tools');
      const {checks} = JSON.parse(stdout) as {checks: Line[]};
      expect(checks.filter(({looked}) => looked)).toEqual([]);
      expect(status).toBe(3);
    },
    TIMEOUT_MS,
  );
});

describe('the node', () => {
  it.each([
    ['net.ipv4.ip_forward', '0', '1', /forwards nothing/],
    ['net.ipv6.conf.all.forwarding', '0', '1', /forwards nothing/],
    ['net.ipv4.conf.all.src_valid_mark', '1', '0', /drops every IPv4 packet that TPROXY takes/],
  ])(
    '%s=%s',
    async (name, bad, good, found) => {
      await shell(`sysctl -qw ${name}=${bad}`);
      expect(of('node.kernel', await lines('--skip', 'node.probe'))).toMatchObject({
        verdict: 'FAIL',
        found: expect.stringMatching(found),
        fix: expect.stringContaining(`sysctl -w ${name}=${good}`),
      });
      await shell(`sysctl -qw ${name}=${good}`);
      await well();
    },
    TIMEOUT_MS,
  );
  it.each([
    ['cilium_host', 'Cilium is on this node'],
    ['bpfin.cali', "Calico's eBPF dataplane is on this node"],
  ])(
    'an interface %s: the dataplane that goes past netfilter is named',
    async (name, found) => {
      await shell(`ip link add ${name} type bridge`);
      expect(of('node.dataplane', await lines())).toMatchObject({
        verdict: 'warn',
        found: expect.stringContaining(found),
      });
      await shell(`ip link del ${name}`);
    },
    TIMEOUT_MS,
  );
  it(
    'a key that others can read, and a bundle without the root',
    async () => {
      const key = join(world.caDir, 'intermediate.key');
      chmodSync(key, 0o644);
      expect(of('node.ca', await lines())).toMatchObject({
        verdict: 'FAIL',
        found: `${key} can be read by others than its owner`.replace(world.caDir, await rooted(world.caDir)),
      });
      chmodSync(key, 0o600);
      const bundle = join(world.caDir, 'bundle.pem');
      const before = readFileSync(bundle);
      writeFileSync(
        bundle,
        readFileSync(
          join(
            world.dir,
            'public-ca',
            readdirSync(join(world.dir, 'public-ca')).find((name) => /\.(crt|pem)$/.test(name))!,
          ),
        ),
      );
      expect(of('node.ca', await lines()).found).toContain('does not hold the root');
      writeFileSync(bundle, before);
    },
    TIMEOUT_MS,
  );
  it(
    'a resolver that keeps quiet',
    async () => {
      world.resolver = () => {};
      expect(of('node.resolver', await lines())).toMatchObject({
        verdict: 'FAIL',
        found: expect.stringMatching(/9\.9\.9\.9:53 does not answer for kubernetes\.default\.svc\.cluster\.local/),
      });
      world.resolver = null;
    },
    TIMEOUT_MS,
  );
});

/** The CA's folder as doctor names it: by the agent's own root. */
const rooted = async (path: string): Promise<string> => `/proc/${world.proxy.pid!}/root${path}`;

function cmdline(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
  } catch {
    return '';
  }
}
