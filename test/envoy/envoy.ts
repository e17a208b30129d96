/** A real Envoy in a namespace of the lab: started, waited for, its access log and stats read, ended without a trace. */
import {closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parse} from 'yaml';
import type {Lab, Where} from '../lab/index.ts';
import {askAdmin, statsOf} from './admin.ts';
import {ENVOY_VERSIONS, envoyBinary} from './binary.ts';

export interface EnvoyOptions {
  /** One of ENVOY_VERSIONS; the first where absent. */
  readonly version?: string;
  /** Envoy's own log, in a failure's message. Default `warning`. */
  readonly logLevel?: 'trace' | 'debug' | 'info' | 'warning';
  /** What starts it, such as `setpriv --regid 1337`. */
  readonly through?: readonly string[];
}

/** A line of an access log in JSON. */
export type AccessLogLine = Readonly<Record<string, unknown>>;

export interface Envoy {
  readonly version: string;
  readonly pid: number;
  /** Its configuration and logs; removed by stop(). */
  readonly dir: string;
  /** What the configuration logs to /dev/stdout, one JSON object per line, so far. */
  accessLog(): AccessLogLine[];
  /** The first access log line that fits, now or later; rejects after `timeoutMs`. */
  logged(fits: (line: AccessLogLine) => boolean, timeoutMs?: number): Promise<AccessLogLine>;
  /** What Envoy says of itself on stderr. */
  said(): string;
  admin(path: string, method?: 'GET' | 'POST'): Promise<string>;
  stats(filter: string): Promise<ReadonlyMap<string, number>>;
  /** SIGTERM, and SIGKILL where that is not enough; its files are removed. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;
const SEEN_TIMEOUT_MS = 60_000;
const POLL_MS = 20;
/** Envoy's default of ten seconds is for disks. */
const FLUSH_MS = 20;

/**
 * Starts Envoy in a namespace of the lab and waits until it is live (listeners bound, clusters warm).
 * @param config a bootstrap as YAML or JSON text, or as a value; an `admin` of its own is replaced.
 * Rejects with Envoy's own words where the configuration is refused.
 */
export async function startEnvoy(
  lab: Lab,
  where: Where,
  config: string | object,
  {version = ENVOY_VERSIONS[0]!, logLevel = 'warning', through = []}: EnvoyOptions = {},
): Promise<Envoy> {
  const program = envoyBinary(version);
  if (program === null) throw new Error(`Envoy ${version} is not installed: node cli/setup.mjs test`);
  const bootstrap = typeof config === 'string' ? (parse(config, {merge: false}) as object) : config;
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-envoy-'));
  const removeFiles = (): void => rmSync(dir, {recursive: true, force: true});
  process.once('exit', removeFiles);
  const files = {config: join(dir, 'envoy.yaml'), stdout: join(dir, 'stdout'), stderr: join(dir, 'stderr')};
  const socket = join(dir, 'admin.sock');
  // JSON: Envoy reads YAML 1.1, in which a label `yes` is a truth value.
  writeFileSync(files.config, JSON.stringify({...bootstrap, admin: {address: {pipe: {path: socket}}}}));

  // Files, not pipes: Envoy opens /dev/stdout by name, which fails where it is a socket.
  const stdout = openSync(files.stdout, 'a');
  const stderr = openSync(files.stderr, 'a');
  // Without hot restart there is no shared memory by base id, so any number run beside each other.
  const argv = ['-c', files.config, '--concurrency', '1', '--disable-hot-restart', '--log-level', logLevel];
  const child = lab.spawn(where, [...through, program, ...argv, '--file-flush-interval-msec', `${FLUSH_MS}`], {
    stdio: ['ignore', stdout, stderr],
  });
  closeSync(stdout);
  closeSync(stderr);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const gone = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const said = (): string => readFileSync(files.stderr, 'utf8');

  const envoy: Envoy = {
    version,
    pid: child.pid ?? 0,
    dir,
    accessLog: () => wholeLines(readFileSync(files.stdout, 'utf8')),
    async logged(fits, timeoutMs = SEEN_TIMEOUT_MS) {
      const line = await until(timeoutMs, () => envoy.accessLog().find(fits) ?? null);
      if (line !== null) return line;
      const all = envoy.accessLog().map((one) => JSON.stringify(one));
      throw new Error(`no such access log line within ${timeoutMs} ms; there are:\n${all.join('\n')}`);
    },
    said,
    admin: (path, method) => askAdmin(socket, path, method),
    stats: (filter) => statsOf(socket, filter),
    async stop() {
      const kill = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      if (!gone()) child.kill('SIGTERM');
      await ended;
      clearTimeout(kill);
      removeFiles();
      process.off('exit', removeFiles);
    },
  };

  const live = await until(START_TIMEOUT_MS, async () => {
    if (gone()) return 'ended' as const;
    const answer = await envoy.admin('/ready').catch(() => null);
    return answer === null ? null : ('live' as const);
  });
  if (live === 'live') return envoy;
  const why = `Envoy ${version} ${live === 'ended' ? `ended with exit code ${child.exitCode}` : `was not live after ${START_TIMEOUT_MS} ms`}:\n${said().trim()}`;
  await envoy.stop();
  throw new Error(why);
}

/** Only what ends with a line feed has been written wholly. Lines that are no JSON objects are another program's. */
function wholeLines(text: string): AccessLogLine[] {
  return text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as AccessLogLine);
}

async function until<T>(timeoutMs: number, look: () => T | null | Promise<T | null>): Promise<T | null> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== null || Date.now() > deadline) return found;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
