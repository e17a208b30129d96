/** The processes of this machine that are an agent: `sallyport tproxy` in our network namespace, by /proc. */
import {readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {basename, join, resolve} from 'node:path';

/** A supervisor as /proc shows it. */
export interface AgentProcess {
  readonly pid: number;
  /** What follows `tproxy` on its command line. */
  readonly flags: readonly string[];
  /** Its SALLYPORT_* variables and where its API server is, and no others: an environment may hold secrets. */
  readonly env: Readonly<Record<string, string>>;
  /** The file that Node was given. */
  readonly program: string;
  /** A path that the process names, as we reach it: its own root, its own folder. */
  at(path: string): string;
}

/** What the command may be called: the checkout's, the package's, a link to it. */
const PROGRAMS: ReadonlySet<string> = new Set(['main.ts', 'main.js', 'sallyport.mjs', 'sallyport']);
/** stat(5) of proc: the second field may hold anything, so fields are counted from its closing parenthesis. */
const PARENT_AFTER_NAME = 1;

/** Every one, by pid. A process that ends while it is looked at, or that we may not look at, is left out. */
export function agentProcesses(proc = '/proc'): AgentProcess[] {
  const home = namespaceOf(proc, 'self');
  const found = readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .flatMap((pid) => {
      try {
        return namespaceOf(proc, String(pid)) === home ? (agentOf(proc, pid) ?? []) : [];
      } catch {
        return [];
      }
    });
  // A launcher that waits for its child has the same command line: the child is the one that guards.
  const parents = new Set(found.map(({pid}) => parentOf(proc, pid)));
  return found.filter(({pid}) => !parents.has(pid)).sort((a, b) => a.pid - b.pid);
}

/** The process, whatever its namespace; null: it is no agent, or gone. */
export function agentOf(proc: string, pid: number): AgentProcess | null {
  const folder = join(proc, String(pid));
  const argv = nulSeparated(readFileSync(join(folder, 'cmdline'), 'utf8'));
  const at = argv.findIndex((word, i) => word === 'tproxy' && i > 0 && PROGRAMS.has(basename(argv[i - 1]!)));
  if (at < 0) return null;
  const cwd = readlinkSync(join(folder, 'cwd'));
  const variables = nulSeparated(readFileSync(join(folder, 'environ'), 'utf8'))
    .filter((line) => /^(SALLYPORT_|KUBERNETES_SERVICE_)/.test(line))
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const);
  return {
    pid,
    flags: argv.slice(at + 1),
    env: Object.fromEntries(variables),
    program: argv[at - 1]!,
    at: (path) => join(folder, 'root', resolve(cwd, path)),
  };
}

/** The processes whose parent it is. */
export function childrenOf(pid: number, proc = '/proc'): number[] {
  return readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => parentOf(proc, child) === pid);
}

function parentOf(proc: string, pid: number): number | null {
  try {
    const stat = readFileSync(join(proc, String(pid), 'stat'), 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[PARENT_AFTER_NAME]);
  } catch {
    return null;
  }
}

const namespaceOf = (proc: string, pid: string): string => readlinkSync(join(proc, pid, 'ns', 'net'));
const nulSeparated = (text: string): string[] => text.split('\0').filter((word) => word !== '');
