/**
 * The machine that the node is: a lab's node namespace, with mounts and processes of its own. Ending its first process ends
 * everything in it (containers, their shims, daemons) and unmounts what they mounted; this machine's own network, mounts and
 * sysctls are never touched.
 */
import {spawn, type ChildProcess, type ChildProcessWithoutNullStreams, type StdioOptions} from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {basename, join} from 'node:path';
import {createLab, type Lab} from '../../lab/index.ts';

export interface Machine {
  readonly lab: Lab;
  /** State, logs, kubeconfigs; removed by stop(). The same path inside. */
  readonly dir: string;
  /** The cgroup below which all containers are, in every hierarchy: as the kubelet's cgroupRoot takes it. */
  readonly cgroup: string;
  /** The command that runs `argv` inside, for scripts. */
  enter(argv: readonly string[]): string[];
  /** Starts a daemon inside, its output to DIR/log/NAME.log. */
  daemon(name: string, argv: readonly string[]): void;
  /** Ends a daemon, and waits until it has ended. */
  end(name: string): Promise<void>;
  /** Starts a program inside. */
  spawn(argv: readonly string[], stdio: StdioOptions): ChildProcess;
  /** Runs a program inside to its end. */
  run(argv: readonly string[], input?: string): Promise<Ran>;
  logOf(name: string): string;
  /** As after a reset: no process, no mount of a container, no rule and no /run is left; files and the network are. */
  reset(): Promise<void>;
  stop(): Promise<void>;
}

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const CGROUPS = '/sys/fs/cgroup';
/** Then the number of the process whose machine it is. */
const CGROUP = 'sallyport-e2e-';
/** Written by the kubelet at its start; inside they are files of the node's own. */
const KERNEL_SETTINGS = ['vm/overcommit_memory', 'kernel/panic', 'kernel/panic_on_oops', 'kernel/keys/root_maxkeys'];
/** Where daemons and hostPath volumes write: the node sees this machine's files there, and what it writes is its own. */
const OWN_FOLDERS = ['/var', '/opt'];
const MOUNTS_TIMEOUT_MS = 10_000;

/** Makes it; needs root. What a crashed one left is removed first. */
export async function startMachine(): Promise<Machine> {
  // kube-proxy translates between pods of one bridge too.
  const lab = await createLab({name: 'e2e', pods: [], bridgeNetfilter: true});
  const dir = mkdtempSync(join(tmpdir(), `${CGROUP}${process.pid}-`));
  for (const folder of ['log', 'kernel']) mkdirSync(join(dir, folder));
  removeOldCgroups();
  const cgroup = `/${basename(dir)}`;
  makeCgroup(cgroup);
  const init = spawn('setpriv', ['--pdeathsig', 'KILL', 'nsenter', `--net=${lab.node.path}`, ...initArgv(dir)], {
    stdio: ['ignore', openSync(join(dir, 'log/init.log'), 'a'), openSync(join(dir, 'log/init.log'), 'a')],
  });
  const pid = await firstProcess(init, dir);
  const enter = (argv: readonly string[]): string[] => [
    ...['nsenter', '--target', String(pid), '--net', '--mount', '--pid'],
    ...argv,
  ];
  const pidFile = (name: string): string => join(dir, 'log', `${name}.pid`);
  const env = {PATH: process.env['PATH'] ?? '', HOME: '/root', LANG: 'C.UTF-8'};

  return {
    lab,
    dir,
    cgroup,
    enter,
    daemon(name, argv) {
      const to = openSync(join(dir, 'log', `${name}.log`), 'a');
      // Its number inside: the one that this machine knows is nsenter's.
      const named = ['sh', '-c', `echo $$ > ${pidFile(name)}; exec "$@"`, 'sh', ...argv];
      spawn('nsenter', enter(named).slice(1), {stdio: ['ignore', to, to], env});
    },
    async end(name) {
      const pid = readFileSync(pidFile(name), 'utf8').trim();
      const gone = `kill ${pid}; while kill -0 ${pid} 2>/dev/null; do sleep 0.1; done`;
      await finished(spawn('nsenter', enter(['sh', '-c', gone]).slice(1), {env}), '');
    },
    spawn: (argv, stdio) => spawn('nsenter', enter(argv).slice(1), {stdio, env}),
    run: (argv, input = '') => finished(spawn('nsenter', enter(argv).slice(1), {env}), input),
    logOf: (name) => readFileSync(join(dir, 'log', `${name}.log`), 'utf8'),
    async reset() {
      const ran = await finished(spawn('nsenter', enter(['sh', '-c', RESET, 'sh', dir]).slice(1), {env}), '');
      if (ran.status !== 0) throw new Error(`the node's machine was not reset: ${ran.stderr}`);
    },
    async stop() {
      const ended = new Promise((resolve) => init.once('exit', resolve));
      if (init.exitCode === null && init.signalCode === null) {
        process.kill(pid, 'SIGKILL');
        await ended;
      }
      await lab.close();
      removeCgroup(cgroup);
      rmSync(dir, {recursive: true, force: true});
    },
  };
}

/** Its own first process and this script are what kill leaves. */
const RESET = `
kill -9 -1
while [ "$(ps -e -o stat= | grep -vc Z)" -gt 5 ]; do kill -9 -1; done
awk -v dir="$1/" 'index($2, dir) == 1 || index($2, "/run/") == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount -l
rm -rf /run/* "$1/containerd-state" "$1/containerd.sock"
nft flush ruleset
conntrack -F 2> /dev/null
ip link delete cni0 2> /dev/null
exit 0
`;

/** What it printed, when it has ended: the servers of the tests answer meanwhile. */
async function finished(child: ChildProcessWithoutNullStreams, input: string): Promise<Ran> {
  // EPIPE where it does not read its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return {status: status ?? 1, stdout, stderr};
}

/** Its first process: bash, because whoever is first has to wait for processes whose parents are gone. */
function initArgv(dir: string): string[] {
  const settings = KERNEL_SETTINGS.map((name) => {
    const own = join(dir, 'kernel', basename(name));
    return `cat /proc/sys/${name} > ${own} && mount --bind ${own} /proc/sys/${name}`;
  });
  const script = [
    'set -e',
    // /sys shows the network that it was mounted in; the cgroups below it stay this machine's.
    `mkdir ${dir}/cgroup && mount --rbind /sys/fs/cgroup ${dir}/cgroup && mount -t sysfs node /sys`,
    `mount --rbind ${dir}/cgroup /sys/fs/cgroup && umount -l ${dir}/cgroup && rmdir ${dir}/cgroup`,
    `cp /etc/resolv.conf ${dir}/resolv.conf && mount --bind ${dir}/resolv.conf /etc/resolv.conf`,
    // A hostPath with mountPropagation asks for a shared mount.
    'mount --make-rshared /',
    'mount -t tmpfs node /run',
    ...OWN_FOLDERS.map((folder) => {
      const own = join(dir, 'own', folder);
      const layers = `lowerdir=${folder},upperdir=${own}/upper,workdir=${own}/work`;
      return `mkdir -p ${own}/upper ${own}/work && mount -t overlay node -o ${layers} ${folder}`;
    }),
    ...settings,
    // The containers' layers must not be on an overlay; this is a folder of the machine's own file system.
    `mount --bind ${dir} ${dir} && mount --make-shared ${dir}`,
    `touch ${dir}/up`,
    'set +e',
    'while :; do sleep 86400 & wait; done',
  ].join('\n');
  return ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-c', script];
}

/** The number of the first process as this machine counts, when it has made the mounts. */
async function firstProcess(unshare: ChildProcess, dir: string): Promise<number> {
  for (const deadline = Date.now() + MOUNTS_TIMEOUT_MS; !existsSync(join(dir, 'up'));) {
    if (unshare.exitCode !== null || Date.now() > deadline)
      throw new Error(`the node's machine did not start:\n${readFileSync(join(dir, 'log/init.log'), 'utf8')}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const [child] = readFileSync(`/proc/${unshare.pid}/task/${unshare.pid}/children`, 'utf8').split(' ');
  return Number(child);
}

const hierarchies = (): string[] => readdirSync(CGROUPS).map((name) => join(CGROUPS, name));

function makeCgroup(name: string): void {
  for (const hierarchy of hierarchies()) {
    const own = join(hierarchy, name);
    mkdirSync(own);
    // A cpuset without processors takes no process.
    for (const file of ['cpuset.cpus', 'cpuset.mems'])
      if (readdirSync(own).includes(file)) writeFileSync(join(own, file), readFileSync(join(hierarchy, file)));
  }
}

/** Folders of cgroups are removed from the inside out; their files go with them. */
function removeCgroup(name: string): void {
  const remove = (folder: string): void => {
    for (const entry of readdirSync(folder, {withFileTypes: true}))
      if (entry.isDirectory()) remove(join(folder, entry.name));
    rmdirSync(folder);
  };
  for (const hierarchy of hierarchies())
    try {
      remove(join(hierarchy, name));
    } catch {
      // A process that is still ending keeps it; the next machine removes it.
    }
}

/** Those of processes that live are empty too until their containers start. */
function removeOldCgroups(): void {
  const names = new Set(hierarchies().flatMap((hierarchy) => readdirSync(hierarchy)));
  for (const name of names)
    if (name.startsWith(CGROUP) && !existsSync(`/proc/${name.slice(CGROUP.length).split('-')[0]}`)) removeCgroup(name);
}
