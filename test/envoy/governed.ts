/** A lab whose node runs `sallyport extauthz` and a real Envoy from samples/envoy: a pod, named sites, DNS, and all that is said. */
import {mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import type {ChildProcess} from 'node:child_process';
import {createInterface} from 'node:readline';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parse, stringify} from 'yaml';
import {answerQuery} from '../../cli/demo/dns.ts';
import {publicCa, type PublicCa} from '../../cli/demo/public-ca.ts';
import {createLab, udpIn, type ExecResult, type Lab} from '../lab/index.ts';
import {startEnvoy, type Envoy} from './envoy.ts';
import {serve, type Arrived, type Site} from './sites.ts';
import {say, webSocket} from './talk.ts';

export const RESOLVER = '9.9.9.9';
const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
const SAMPLES = fileURLToPath(new URL('../../samples/envoy/', import.meta.url));
/** Where the samples keep the socket of --sds. */
const RUN_DIR = '/run/sallyport/';
const START_TIMEOUT_MS = 60_000;

export interface JournalLine {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Governed {
  readonly lab: Lab;
  readonly dir: string;
  readonly ca: PublicCa;
  readonly envoy: Envoy;
  readonly extauthz: ChildProcess;
  /** Every request that reached any site, in order. */
  readonly arrived: Arrived[];
  /** Connections that any site accepted, by the site's name. */
  readonly connected: string[];
  readonly journal: readonly JournalLine[];
  /** Runs curl in the pod, with the CA bundle that the injector gives. Quiet, and with what Curled says. */
  curl(...args: readonly string[]): Promise<Curled>;
  /** The same, and what of it arrived where. */
  tried(...args: readonly string[]): Promise<Tried>;
  /** Sends bytes from the pod; answers the first that come back, or '' where the connection is closed before. */
  say(ip: string, port: number, text: string): Promise<string>;
  /** Asks for a WebSocket inside TLS, sends `text` in it; answers the status, and what came back in it. */
  webSocket(
    host: string,
    ip: string,
    path: string,
    text: string,
  ): Promise<{readonly status: number; readonly said: string}>;
  /** The same as say(), inside a CONNECT through the proxy on the node's port 3128; '' where the proxy refuses, or closes the tunnel. */
  tunnelled(host: string, port: number, text: string): Promise<string>;
  setPolicy(...documents: readonly object[]): void;
  /** What the next look-ups of a name answer, in turn; the last one stays. Rebinding is made of this. */
  setAddresses(name: string, ...ips: readonly string[]): void;
  close(): Promise<void>;
}

export interface Curled extends ExecResult {
  readonly code: number;
  readonly body: string;
  /** Address and port of its last connection, as the samples log them. */
  readonly client: string;
}

/** As much of an Envoy configuration as tests change. */
export interface Bootstrap {
  readonly static_resources: {
    readonly listeners: {readonly filter_chains: Record<string, unknown>[]}[];
    readonly clusters: ({readonly name: string} & Record<string, unknown>)[];
  };
}

export interface Tried {
  /** Status and trimmed body. */
  readonly answer: readonly [number, string];
  /** curl's exit code. */
  readonly status: number | null;
  /** SITE/PATH of the requests that arrived. */
  readonly reached: readonly string[];
  /** Sites that accepted a connection. */
  readonly connected: readonly string[];
}

export interface GovernedOptions {
  readonly version: string;
  /** A file of samples/envoy. */
  readonly sample: string;
  readonly policies: readonly object[];
  readonly sites: readonly Site[];
  /** The pod's TCP, but DNS, is redirected to this port of the node; null: the pod is told of a proxy. */
  readonly redirectTo: number | null;
  /** Beside policies, workloads, CA and resolver. Default: as the samples have it, 127.0.0.1:9000 and the unix socket. */
  readonly flags?: (dir: string) => readonly string[];
  /** More programs in the lab, before anything of ours starts. */
  readonly prepare?: (lab: Lab, dir: string) => Promise<void> | void;
  /** The sample as a user changes it; what it may refer to is in `dir`. */
  readonly change?: (bootstrap: Bootstrap, dir: string) => void;
}

export async function governed(options: GovernedOptions): Promise<Governed> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-governed-'));
  const lab = await createLab({name: 'governed', pods: [{name: 'app'}]});
  const ca = publicCa(join(dir, 'public-ca'));
  const caDir = join(dir, 'ca');
  const servers: {close(): void}[] = [];
  const arrived: Arrived[] = [];
  const connected: string[] = [];
  const journal: JournalLine[] = [];
  const addresses = new Map<string, string[]>(options.sites.map(({name, ip}) => [name, [ip]]));
  let envoy: Envoy | null = null;
  const close = async (): Promise<void> => {
    await envoy?.stop();
    for (const server of servers) server.close();
    await lab.close();
    rmSync(dir, {recursive: true, force: true});
  };
  try {
    await lab.internet.addAddress(RESOLVER);
    const dns = await udpIn(lab.internet.path, RESOLVER, 53);
    dns.on('message', (query, from) => {
      const answer = answerQuery(query, (name) => {
        const list = addresses.get(name);
        return list !== undefined && list.length > 1 ? list.shift() : list?.[0];
      });
      if (answer !== null) dns.send(answer, from.port, from.address);
    });
    servers.push(dns);
    for (const where of ['app', 'node', 'internet']) lab.setResolver(where, RESOLVER);
    for (const site of options.sites) servers.push(...(await serve(lab, ca, site, arrived, connected)));

    const policyDir = join(dir, 'policies');
    mkdirSync(policyDir);
    const setPolicy = (...documents: readonly object[]): void => {
      const file = join(policyDir, 'policy.yaml');
      writeFileSync(`${file}.new~`, documents.map((document) => stringify(document)).join('---\n'));
      renameSync(`${file}.new~`, file);
    };
    setPolicy(...options.policies);
    const pod = lab.pod('app');
    const workload = {namespace: 'default', name: 'app', labels: {app: 'web'}, trustsCa: true};
    writeFileSync(join(dir, 'workloads.yaml'), stringify([{ips: pod.ips, ...workload}]));

    const flags = [
      ...['--policy', policyDir, '--workloads', join(dir, 'workloads.yaml'), '--ca-dir', caDir],
      ...['--resolver', RESOLVER, '--log-format', 'json'],
      ...(options.flags?.(dir) ?? ['--listen', '127.0.0.1:9000', '--sds', `unix:${dir}/sds.sock`]),
    ];
    await options.prepare?.(lab, dir);
    const extauthz = await startExtauthz(lab, flags, journal);

    // What the sample calls /etc/ssl/certs/ca-certificates.crt are the lab's public roots.
    lab.writeEtc('node', 'ssl/certs/ca-certificates.crt', readFileSync(ca.bundle, 'utf8'));
    const bootstrap = readSample(options.sample, dir);
    options.change?.(bootstrap, dir);
    envoy = await startEnvoy(lab, 'node', bootstrap, {version: options.version});
    if (options.redirectTo !== null) await redirect(lab, options.redirectTo);

    const bundle = join(dir, 'pod-bundle.pem');
    writeFileSync(bundle, readFileSync(join(caDir, 'bundle.pem'), 'utf8') + readFileSync(ca.bundle, 'utf8'));
    const world: Governed = {
      lab,
      dir,
      ca,
      envoy,
      extauthz,
      arrived,
      connected,
      journal,
      async curl(...args) {
        const fixed = ['curl', '-s', '-S', '--max-time', '10', '-w', '\n%{http_code} %{local_port}'];
        const result = await lab.exec('app', [...fixed, ...args], {env: {CURL_CA_BUNDLE: bundle}});
        const at = result.stdout.lastIndexOf('\n');
        const [code, localPort] = result.stdout.slice(at + 1).split(' ');
        const client = `${lab.pod('app').ip4}:${localPort}`;
        return {...result, body: result.stdout.slice(0, at), code: Number(code), client};
      },
      async tried(...args) {
        const [requests, connections] = [arrived.length, connected.length];
        const {code, body, status} = await world.curl(...args);
        return {
          answer: [code, body.trim()],
          status,
          reached: arrived.slice(requests).map(({site, path}) => `${site}${path}`),
          connected: connected.slice(connections),
        };
      },
      say: (ip, port, text) => say(lab, {ip, port}, text),
      webSocket: (host, ip, path, text) => webSocket(lab, host, ip, path, text),
      async tunnelled(host, port, text) {
        const connect = `CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`;
        return say(lab, {ip: lab.node.ips[0]!, port: 3128}, text, connect);
      },
      setPolicy,
      setAddresses: (name, ...ips) => void addresses.set(name, [...ips]),
      close,
    };
    return world;
  } catch (error) {
    await close();
    throw error;
  }
}

/** A file of samples/envoy, with its sockets in `dir`. */
export function readSample(file: string, dir: string): Bootstrap {
  return parse(readFileSync(join(SAMPLES, file), 'utf8').replaceAll(RUN_DIR, `${dir}/`)) as Bootstrap;
}

/** Starts `sallyport extauthz` on the node; resolves when it listens. */
async function startExtauthz(lab: Lab, flags: readonly string[], journal: JournalLine[]): Promise<ChildProcess> {
  const child = lab.spawn('node', [process.execPath, MAIN, 'extauthz', ...flags]);
  let said = '';
  child.stderr!.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await new Promise<void>((resolve, reject) => {
    const failed = (why: string): void => reject(new Error(`extauthz ${why}\n${said}`));
    const timer = setTimeout(() => failed(`did not listen within ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
    child.once('exit', (code) => {
      clearTimeout(timer);
      failed(`ended with exit code ${code}`);
    });
    createInterface({input: child.stdout!}).on('line', (text) => {
      const line = JSON.parse(text) as JournalLine;
      journal.push(line);
      if (line.event !== 'extauthz.listening') return;
      clearTimeout(timer);
      resolve();
    });
  });
  return child;
}

async function redirect(lab: Lab, port: number): Promise<void> {
  const rules = `table ip governed {
  chain captured {
    type nat hook prerouting priority dstnat;
    iifname "${lab.pod('app').port}" meta l4proto tcp redirect to :${port}
  }
}
`;
  const {status, stderr} = await lab.exec('node', ['nft', '-f', '-'], {stdin: rules});
  if (status !== 0) throw new Error(`nft: ${stderr}`);
}
