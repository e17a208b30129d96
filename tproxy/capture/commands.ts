/** nft, ip and conntrack: run without a shell, and what their refusals mean. */
import {execFile, spawn, spawnSync, type ChildProcess} from 'node:child_process';
import {SallyportError} from '../../runtime/errors.ts';
import {missingCapability} from './sockets.ts';

export interface Outcome {
  /** null: killed by a signal. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Commands {
  /** Rejects with SallyportError `ToolMissing` where the program is not there; a failed one resolves. */
  run(argv: readonly [string, ...string[]], stdin?: string): Promise<Outcome>;
  /**
   * Starts a program that reports for as long as it lives, and dies with us, also where we are killed; `onOutput` is told
   * what it says on either output, `onEnd` once that it ended by itself.
   */
  follow(
    argv: readonly [string, ...string[]],
    onOutput: (text: string) => void,
    onEnd: () => void,
  ): {write(text: string): void; close(): void};
}

/** A listing of ten thousand members is a megabyte. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** nft waits for the kernel's lock while others change rules; longer than this is a hang. */
const COMMAND_TIMEOUT_MS = 20_000;

/** Where each program comes from. */
const PACKAGES: Readonly<Record<string, string>> = {
  nft: 'nftables',
  ip: 'iproute2',
  conntrack: 'conntrack',
  sysctl: 'procps',
};

/**
 * Where they are looked up. Not in the environment's PATH: in a pod its author may have a say in that, and we are root, or hold
 * NET_ADMIN.
 */
export const SYSTEM_FOLDERS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'] as const;
const SYSTEM_PATH = SYSTEM_FOLDERS.join(':');

/** On a node, whose administrator says what PATH is; /usr/sbin is not in everybody's. */
export const nodePath = (): string => `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`;

/** Runs on this machine. `enter` starts them elsewhere: a network namespace, in tests. `path`: as in PATH. */
export function systemCommands(
  enter: (start: () => ChildProcess) => ChildProcess = (start) => start(),
  path = SYSTEM_PATH,
): Commands {
  // Messages are compared, so they are in English.
  const env = {PATH: path, LC_ALL: 'C'};
  return {
    run: ([program, ...args], stdin) =>
      new Promise((resolve, reject) => {
        const options = {
          encoding: 'utf8',
          maxBuffer: MAX_OUTPUT_BYTES,
          timeout: COMMAND_TIMEOUT_MS,
          env,
        } as const;
        const child = enter(() =>
          execFile(program, args, options, (error, stdout, stderr) => {
            if (error !== null && typeof error.code === 'string') reject(notStarted(program, error));
            else
              resolve({
                status: error === null ? 0 : typeof error.code === 'number' ? error.code : null,
                stdout,
                stderr,
              });
          }),
        );
        // A program that fails before it has read everything.
        child.stdin?.on('error', () => undefined);
        child.stdin?.end(stdin ?? '');
      }),
    follow(argv, onOutput, onEnd) {
      const [program, ...args] = mortal(argv, env);
      let child: ChildProcess;
      try {
        child = enter(() => spawn(program, args, {stdio: 'pipe', env}));
      } catch {
        // It ended before it began, which its user knows how to take: thrown from a timer it would end this process.
        setImmediate(onEnd);
        return {write: () => undefined, close: () => undefined};
      }
      let ended = false;
      const end = (): void => {
        if (ended) return;
        ended = true;
        onEnd();
      };
      child.on('error', end);
      child.on('exit', end);
      for (const output of [child.stdout, child.stderr])
        output?.on('data', (chunk: Buffer) => onOutput(chunk.toString()));
      // It may end while we write.
      child.stdin?.on('error', () => undefined);
      return {
        write(text) {
          child.stdin?.write(text);
        },
        close() {
          ended = true;
          child.kill('SIGTERM');
        },
      };
    },
  };
}

/**
 * A monitor whose parent was killed with -9 waits for the next event before it notices: setpriv has the kernel end it at
 * once (prctl(2), PR_SET_PDEATHSIG). Without util-linux's setpriv it lingers, which is no more than untidy.
 */
function mortal(argv: readonly [string, ...string[]], env: {readonly PATH: string}): readonly [string, ...string[]] {
  canBeMortal ??= spawnSync('setpriv', ['--pdeathsig', 'KILL', 'true'], {env}).status === 0;
  return canBeMortal ? ['setpriv', '--pdeathsig', 'KILL', '--', ...argv] : argv;
}
let canBeMortal: boolean | null = null;

function notStarted(program: string, cause: Error & {code?: unknown}): SallyportError {
  if (cause.code === 'ENOENT')
    return new SallyportError(
      'ToolMissing',
      `${program} is not installed`,
      `Install it: apt-get install ${PACKAGES[program] ?? program}.`,
      {cause},
    );
  return new SallyportError('CommandFailed', `${program}: ${cause.message}`, '', {cause});
}

/** What a failed command means; `stderr`'s first line is in the message. */
export function commandFailed(program: string, outcome: Outcome): SallyportError {
  const said = outcome.stderr.trim().split('\n').slice(0, 3).join(' ').trim() || `status ${outcome.status}`;
  if (/operation not permitted|you must be root|permission denied/i.test(said))
    return missingCapability('CAP_NET_ADMIN', new Error(`${program}: ${said}`));
  return new SallyportError(
    'CommandFailed',
    `${program}: ${said}`,
    program === 'nft' ? 'nftables 1.0 and Linux 5.10 or later are needed.' : '',
  );
}

/** run(), where anything but status 0 is a SallyportError. */
export async function mustRun(
  commands: Commands,
  argv: readonly [string, ...string[]],
  stdin?: string,
): Promise<string> {
  const outcome = await commands.run(argv, stdin);
  if (outcome.status !== 0) throw commandFailed(argv[0], outcome);
  return outcome.stdout;
}
