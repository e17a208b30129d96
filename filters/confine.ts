/**
 * The walls that the kernel puts around the filters' process, as a command line in front of Node's: setpriv and unshare of
 * util-linux. Which of them hold depends on who we are and what the container allows; the strongest that works is taken, and
 * what is missing is said.
 */
import {execFile} from 'node:child_process';
import {existsSync} from 'node:fs';
import {promisify} from 'node:util';

/** nobody, the same number everywhere that matters; it owns nothing. */
const NOBODY = '65534';
/** A probe starts Node once; a machine under load gets this long before a wall counts as not to be had. */
const PROBE_TIMEOUT_MS = 10_000;

const SETPRIV = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => existsSync(path));
const PRLIMIT = ['/usr/bin/prlimit', '/bin/prlimit'].find((path) => existsSync(path));
const UNSHARE = ['/usr/bin/unshare', '/bin/unshare'].find((path) => existsSync(path));

/**
 * What their process may take of the machine, whatever the heap's limit (which knows nothing of Buffers): Node itself reserves
 * some 600 MB of address space as data and uses a tenth of it, so this leaves 400 MB for everything else.
 */
const MAX_DATA_BYTES = 1024 * 1024 * 1024;
/** Node has some twenty open; modules are read one after the other. */
const MAX_OPEN_FILES = 256;

export interface Confinement {
  /** What stands before the command; empty where nothing is to be had. */
  readonly argv: readonly string[];
  /** No interface but a loopback that is down, in a network namespace of its own. */
  readonly network: boolean;
  /** Without root, capabilities, and ways to regain them. */
  readonly privileges: boolean;
}

interface Candidate extends Confinement {
  readonly as: 'root' | 'anybody';
}

function candidates(): Candidate[] {
  // The process ends with ours even where a filter never lets it look: the signal is set anew after each change of identity,
  // which clears it (prctl(2), PR_SET_PDEATHSIG).
  const withUs = ['--pdeathsig', 'KILL'];
  // A process namespace too: else it could signal what has its user id.
  const alone = ['--net', '--pid', '--ipc', '--fork', '--kill-child'];
  const unprivileged = ['--no-new-privs', '--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all'];
  const limited =
    PRLIMIT === undefined ? [] : [PRLIMIT, `--data=${MAX_DATA_BYTES}`, `--nofile=${MAX_OPEN_FILES}`, '--core=0', '--'];
  const nobody = ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups'];
  if (SETPRIV === undefined) return [];
  const outer = [SETPRIV, ...withUs, '--'];
  const inner = (...how: string[]) => [SETPRIV, ...how, ...withUs, '--', ...limited];
  const list: Candidate[] = [];
  if (UNSHARE !== undefined) {
    const separate = [...outer, UNSHARE, ...alone, '--'];
    const mapped = [...outer, UNSHARE, '--user', '--map-current-user', ...alone, '--'];
    list.push(
      // A /proc of their own as well, which containers do not allow everywhere: no other process is seen in it.
      {as: 'root', network: true, privileges: true, argv: [...outer, UNSHARE, ...alone, '--mount-proc', '--', ...inner(...nobody, ...unprivileged)]}, // prettier-ignore
      {as: 'root', network: true, privileges: true, argv: [...separate, ...inner(...nobody, ...unprivileged)]},
      // Where nobody cannot read the files (a checkout below /root): root's number, without any of root's powers.
      {as: 'root', network: true, privileges: true, argv: [...separate, ...inner(...unprivileged)]},
      {as: 'anybody', network: true, privileges: true, argv: [...mapped, ...inner('--no-new-privs')]},
    );
  }
  list.push(
    {as: 'root', network: false, privileges: true, argv: inner(...nobody, ...unprivileged)},
    {as: 'root', network: false, privileges: true, argv: inner(...unprivileged)},
    {as: 'anybody', network: false, privileges: process.getuid?.() !== 0, argv: inner('--no-new-privs')},
  );
  return list;
}

/** The strongest confinement under which Node starts and can read `paths`. */
export async function findConfinement(paths: readonly string[]): Promise<Confinement> {
  const root = process.getuid?.() === 0;
  const readable = 'for (const path of process.argv.slice(1)) require("fs").accessSync(path, 4)';
  // setpriv that may not empty the bounding set (no CAP_SETPCAP) leaves it and says nothing: root would keep what we have.
  const powerless =
    'if (!/^CapEff:\\s*0+$/m.test(require("fs").readFileSync("/proc/self/status", "utf8"))) process.exit(1);';
  for (const candidate of candidates()) {
    if (candidate.as === 'root' && !root) continue;
    const probe = candidate.as === 'root' ? `${powerless}${readable}` : readable;
    const [command, ...rest] = [...candidate.argv, process.execPath, '-e', probe, '--', ...paths] as [
      string,
      ...string[],
    ];
    try {
      await promisify(execFile)(command, rest, {env: {}, cwd: '/', timeout: PROBE_TIMEOUT_MS, killSignal: 'SIGKILL'});
      return candidate;
    } catch {
      // Not allowed here, or not readable so: the next one.
    }
  }
  return {argv: [], network: false, privileges: !root};
}

/** One sentence on what is missing, with what would give it; null: nothing is. */
export function confinementGap({network, privileges}: Confinement): string | null {
  const missing = [
    ...(network
      ? []
      : ['a network namespace of their own (needs unshare of util-linux, and CAP_SYS_ADMIN or user namespaces)']),
    ...(privileges
      ? []
      : ['giving up root’s powers (needs setpriv of util-linux, and CAP_SETPCAP, CAP_SETUID and CAP_SETGID)']),
  ];
  return missing.length === 0
    ? null
    : `filters run without ${missing.join(' and without ')}; inside of their process network modules are refused all the same`;
}
