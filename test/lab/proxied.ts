/** A lab whose node runs `sallyport tproxy`: pods, named sites of the test's own, DNS, and the proxy's journal. */
import {mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {createInterface} from 'node:readline';
import type {ChildProcess} from 'node:child_process';
import type {Server} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {answerQuery} from '../../cli/demo/dns.ts';
import {publicCa, type PublicCa} from '../../cli/demo/public-ca.ts';
import {tproxyCommand} from '../../cli/demo/proxy-process.ts';
import {createLab, type Lab} from './lab.ts';
import {until, WITHIN_MS} from '../waiting.ts';
import {endServer, listenIn, udpIn} from './sockets.ts';

export const RESOLVER = '9.9.9.9';

export interface JournalLine {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface ProxiedLab {
  readonly lab: Lab;
  readonly dir: string;
  readonly ca: PublicCa;
  /** Our CA directory: ca.crt, bundle.pem, bundle.p12. */
  readonly caDir: string;
  /** The process that runs now; another one after restart(). */
  readonly proxy: ChildProcess;
  /** Starts the proxy once more, with the same flags and files, after the former one ended. Resolves when it listens. */
  restart(): Promise<void>;
  /** Set by a test that wants the resolver to misbehave: null is the ordinary answer, otherwise it answers or keeps quiet itself. */
  resolver: ((query: Buffer, answer: (message: Buffer) => void) => void) | null;
  /** The environment that the injector sets in pods, for every kind of client. */
  readonly trust: Readonly<Record<string, string>>;
  /** A site of the internet: its name resolves to its own address, where `server` listens. */
  addSite(name: string, port: number, server: Server): Promise<string>;
  /** Replaces the policy file; the caller waits for what it changes. */
  setPolicy(...documents: readonly object[]): void;
  /** Every journal line so far. */
  readonly journal: readonly JournalLine[];
  /** The first journal line that fits, now or later; rejects where the proxy ends first or the line does not come. */
  seen(fits: (line: JournalLine) => boolean): Promise<JournalLine>;
  close(): Promise<void>;
}

export interface ProxiedOptions {
  readonly name: string;
  readonly policies: readonly object[];
  /** Labels and trust of the pod `app`; a pod `free` that nobody captures is always there. */
  readonly workload?: {readonly labels?: Readonly<Record<string, string>>; readonly trustsCa?: boolean};
  readonly flags?: readonly string[];
  /** In front of the proxy's own command: `prlimit`, `env` ... It must become the proxy (exec), so that signals reach it. */
  readonly under?: readonly string[];
  /** A descriptor that the proxy writes its journal to; then `journal` stays empty and /readyz says when it is up. */
  readonly stdout?: number;
}

/** The last lines of the journal that an error shows. */
const SHOWN_LINES = 20;

export async function proxiedLab(options: ProxiedOptions): Promise<ProxiedLab> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-lab-'));
  const lab = await createLab({name: options.name, pods: [{name: 'app'}, {name: 'free'}]});
  const ca = publicCa(join(dir, 'public-ca'));
  const caDir = join(dir, 'ca');
  const addresses = new Map<string, string>();
  const servers: Server[] = [];
  const journal: JournalLine[] = [];
  const waiting = new Set<(line: JournalLine) => void>();

  await lab.internet.addAddress(RESOLVER);
  const dns = await udpIn(lab.internet.path, RESOLVER, 53);
  dns.on('message', (query, from) => {
    const send = (answer: Buffer): void => dns.send(answer, from.port, from.address);
    if (proxied.resolver !== null) return proxied.resolver(query, send);
    const answer = answerQuery(query, (name) => addresses.get(name));
    if (answer !== null) send(answer);
  });
  for (const where of ['app', 'free', 'node', 'internet']) lab.setResolver(where, RESOLVER);

  const policies = join(dir, 'policies');
  mkdirSync(policies);
  const setPolicy = (...documents: readonly object[]): void => {
    const file = join(policies, 'policy.yaml');
    writeFileSync(`${file}.new~`, documents.map((document) => stringify(document)).join('---\n'));
    renameSync(`${file}.new~`, file);
  };
  setPolicy(...options.policies);
  const pod = lab.pod('app');
  writeFileSync(
    join(dir, 'workloads.yaml'),
    stringify([
      {
        ips: pod.ips,
        interface: pod.interface,
        namespace: 'default',
        name: 'app',
        labels: options.workload?.labels ?? {},
        trustsCa: options.workload?.trustsCa ?? true,
      },
    ]),
  );
  const flags = [
    ...[
      '--policy',
      policies,
      '--workloads',
      join(dir, 'workloads.yaml'),
      '--ca-dir',
      caDir,
      '--upstream-ca',
      ca.bundle,
      '--capture',
      'node',
    ],
    ...['--resolver', RESOLVER, '--workers', '1', '--log-format', 'json', ...(options.flags ?? [])],
  ];
  const command = [...(options.under ?? []), ...tproxyCommand(flags)];
  const start = (): ChildProcess => {
    const child = lab.spawn('node', command, {stdio: ['ignore', options.stdout ?? 'pipe', 'inherit']});
    if (child.stdout !== null)
      createInterface({input: child.stdout}).on('line', (text) => {
        const line = lineOf(text);
        journal.push(line);
        for (const look of waiting) look(line);
      });
    return child;
  };
  const isReady = async (): Promise<void> => {
    const argv = ['curl', '-sf', '-m', '20', 'http://127.0.0.1:15084/readyz'];
    await until(
      () => lab.exec('node', argv),
      ({status}) => status === 0,
      {what: 'the proxy is ready'},
    );
  };

  const seen: ProxiedLab['seen'] = (fits) => {
    const already = journal.find(fits);
    if (already !== undefined) return Promise.resolve(already);
    const watched = proxied.proxy;
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        waiting.delete(look);
        watched.off('close', ended);
      };
      const look = (line: JournalLine): void => {
        if (!fits(line)) return;
        done();
        resolve(line);
      };
      const fail = (why: string): void => {
        done();
        reject(
          new Error(
            `${why}; the last lines of the journal:\n${journal
              .slice(-SHOWN_LINES)
              .map((line) => JSON.stringify(line))
              .join('\n')}`,
          ),
        );
      };
      const ended = (code: number | null): void => fail(`the proxy ended with exit code ${code}`);
      const timer = setTimeout(
        () => fail(`no such journal line within ${WITHIN_MS / 1000} s: ${fits.toString()}`),
        WITHIN_MS,
      );
      // Not its exit: what it said last is read after that.
      watched.once('close', ended);
      waiting.add(look);
    });
  };
  const proxied: ProxiedLab & {proxy: ChildProcess} = {
    lab,
    dir,
    ca,
    caDir,
    proxy: start(),
    async restart() {
      const before = journal.length;
      proxied.proxy = start();
      if (options.stdout !== undefined) return isReady();
      await seen((line) => line.event === 'tproxy.listening' && journal.indexOf(line) >= before);
    },
    resolver: null,
    trust: {
      CURL_CA_BUNDLE: join(caDir, 'bundle.pem'),
      SSL_CERT_FILE: join(caDir, 'bundle.pem'),
      REQUESTS_CA_BUNDLE: join(caDir, 'bundle.pem'),
      NODE_EXTRA_CA_CERTS: join(caDir, 'ca.crt'),
      GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: join(caDir, 'bundle.pem'),
      JAVA_TOOL_OPTIONS: `-Djavax.net.ssl.trustStore=${join(caDir, 'bundle.p12')} -Djavax.net.ssl.trustStoreType=PKCS12`,
    },
    async addSite(name, port, server) {
      const ip = addresses.get(name) ?? `5.6.40.${addresses.size + 1}`;
      addresses.set(name, ip);
      await lab.internet.addAddress(ip);
      await listenIn(lab.internet.path, server, ip, port);
      servers.push(server);
      return ip;
    },
    setPolicy,
    journal,
    seen,
    async close() {
      for (const server of servers) endServer(server);
      dns.close();
      await lab.close();
      rmSync(dir, {recursive: true, force: true});
    },
  };
  try {
    if (options.stdout === undefined) await seen((line) => line.event === 'tproxy.listening');
    else await isReady();
  } catch (error) {
    await proxied.close();
    throw error;
  }
  return proxied;
}

/** What is no JSON is shown as it is. */
function lineOf(text: string): JournalLine {
  try {
    return JSON.parse(text) as JournalLine;
  } catch {
    return {event: 'no journal line', text};
  }
}
