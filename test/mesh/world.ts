/** A lab with sites, DNS, a pod in a mesh and `sallyport extauthz`; istiod and the pod's Envoy are started for each set of objects. */
import type {ChildProcess} from 'node:child_process';
import {mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {stringify} from 'yaml';
import {answerQuery} from '../../cli/demo/dns.ts';
import {publicCa, type PublicCa} from '../../cli/demo/public-ca.ts';
import {meshCa, type MeshCa} from '../../extauthz/sds/testing/mesh-ca.ts';
import {serve, type Arrived, type Site} from '../envoy/sites.ts';
import type {Envoy} from '../envoy/index.ts';
import {createLab, udpIn, type ExecResult, type Lab} from '../lab/index.ts';
import {serveCertificates} from './certificates.ts';
import {startIstiod, type Istiod} from './istiod.ts';
import {redirectPod, startSidecar} from './proxy.ts';

export const RESOLVER = '9.9.9.9';
/** How long Envoys wait for an answer here: a machine that is busy with more than the test answers late. */
export const TIMEOUT_MS = 3000;
export const EXTAUTHZ = {name: 'sallyport-extauthz', namespace: 'sallyport', port: 9000} as const;
const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
const START_TIMEOUT_MS = 60_000;
/** Of a workload of the lab. */
export const identity = (namespace: string, account: string): string =>
  `spiffe://cluster.local/ns/${namespace}/sa/${account}`;
export const EXTAUTHZ_ID = identity(EXTAUTHZ.namespace, EXTAUTHZ.name);
const APP = {name: 'app', namespace: 'app', labels: {app: 'web', egress: 'asked'}} as const;
const NEIGHBOUR = {name: 'neighbour', namespace: 'other', labels: {app: 'job', egress: 'asked'}} as const;
const NAMESPACES = [APP.namespace, EXTAUTHZ.namespace, 'istio-system', 'other'];

export interface Tried {
  /** Status and trimmed body of the answer; status 0 where there is none. */
  readonly answer: readonly [number, string];
  /** Status of the proxy's answer to a CONNECT; 0 without one. */
  readonly connect: number;
  /** curl's exit code. */
  readonly status: number | null;
  /** SITE/PATH of the requests that arrived. */
  readonly reached: readonly string[];
  /** Sites that accepted a connection. */
  readonly connected: readonly string[];
}

export interface RunningMesh {
  readonly envoy: Envoy;
  readonly istiod: Istiod;
  /** The neighbour's; null where there is none. */
  readonly beside: Envoy | null;
  stop(): Promise<void>;
}

/** A pod whose proxy is behind istiod, as after an update of istiod. */
export interface OlderProxy {
  /** As it says of itself: `1.29.0`. */
  readonly istio: string;
  /** One of ENVOY_VERSIONS. */
  readonly envoy: string;
}

export interface MeshWorld {
  readonly lab: Lab;
  readonly dir: string;
  readonly ca: PublicCa;
  readonly extauthz: ChildProcess;
  readonly arrived: Arrived[];
  readonly connected: string[];
  /** What extauthz logged. */
  readonly journal: readonly Readonly<Record<string, unknown>>[];
  /** Starts istiod with these objects and this mesh configuration (beside what the lab itself needs), and the pod's Envoy. */
  mesh(objects: readonly string[], meshConfig?: object, older?: OlderProxy): Promise<RunningMesh>;
  curl(...args: readonly string[]): Promise<ExecResult>;
  /** Runs curl in the pod. */
  tried(...args: readonly string[]): Promise<Tried>;
  /** The same in the neighbour. */
  triedBeside(...args: readonly string[]): Promise<Tried>;
  close(): Promise<void>;
}

export interface WorldOptions {
  readonly policies: readonly object[];
  readonly sites: readonly Site[];
  /** More names and their addresses. */
  readonly names?: Readonly<Record<string, string>>;
  /**
   * What secretRefs find: NAMESPACE/NAME/KEY and text. extauthz may then add credentials of parents, and tells them to sidecars that
   * show a certificate: it is asked by mutual TLS (spec.extauthz.identity: EXTAUTHZ_ID).
   */
  readonly secrets?: Readonly<Record<string, string>>;
  /** A second pod, of the namespace `other`, with a sidecar of its own. */
  readonly neighbour?: boolean;
  /** Variables of the sidecar's container. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The mesh has IPv6 beside IPv4. */
  readonly dualStack?: boolean;
  /** More programs in the lab. */
  readonly prepare?: (lab: Lab, dir: string) => Promise<void>;
}

export async function meshWorld(options: WorldOptions): Promise<MeshWorld> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-mesh-'));
  const lab = await createLab({
    name: 'mesh',
    pods: [{name: 'app'}, ...(options.neighbour === true ? [{name: 'neighbour'}] : [])],
  });
  const ca = publicCa(join(dir, 'public-ca'));
  const servers: {close(): void}[] = [];
  const arrived: Arrived[] = [];
  const connected: string[] = [];
  const journal: Readonly<Record<string, unknown>>[] = [];
  const names = new Map(Object.entries(options.names ?? {}));
  for (const {name, ip} of options.sites) names.set(name, ip);
  let running: RunningMesh | null = null;
  const close = async (): Promise<void> => {
    await running?.stop();
    for (const server of servers) server.close();
    await lab.close();
    rmSync(dir, {recursive: true, force: true});
  };
  try {
    await lab.internet.addAddress(RESOLVER);
    const dns = await udpIn(lab.internet.path, RESOLVER, 53);
    dns.on('message', (query, from) => {
      const answer = answerQuery(query, (name) => names.get(name));
      if (answer !== null) dns.send(answer, from.port, from.address);
    });
    servers.push(dns);
    const pods = options.neighbour === true ? ['app', 'neighbour'] : ['app'];
    for (const where of [...pods, 'node', 'internet']) lab.setResolver(where, RESOLVER);
    for (const site of options.sites) servers.push(...(await serve(lab, ca, site, arrived, connected)));
    await options.prepare?.(lab, dir);

    const policyDir = join(dir, 'policies');
    mkdirSync(policyDir);
    const file = join(policyDir, 'policy.yaml');
    writeFileSync(`${file}.new~`, options.policies.map((document) => stringify(document)).join('---\n'));
    renameSync(`${file}.new~`, file);
    const pod = lab.pod('app');
    const workload = {...APP, trustsCa: false};
    const table = [{ips: pod.ips, ...workload}];
    if (options.neighbour === true) table.push({ips: lab.pod('neighbour').ips, ...NEIGHBOUR, trustsCa: false} as never);
    writeFileSync(join(dir, 'workloads.yaml'), stringify(table));
    for (const [path, text] of Object.entries(options.secrets ?? {})) {
      mkdirSync(dirname(join(dir, 'refs/secrets', path)), {recursive: true});
      writeFileSync(join(dir, 'refs/secrets', path), text);
    }
    const mutual = meshCa();
    const listen = `${lab.node.ips[0]}:${EXTAUTHZ.port}`;
    const extauthz = await startExtauthz(lab, journal, [
      ...['--policy', policyDir, '--workloads', join(dir, 'workloads.yaml'), '--listen', listen],
      ...['--resolver', RESOLVER, '--log-format', 'json'],
      ...(options.secrets === undefined
        ? []
        : ['--refs', join(dir, 'refs'), '--parent-credentials', ...extauthzCertificate(dir, mutual)]),
    ]);
    const shown: {app?: string; neighbour?: string} = {};
    if (options.secrets !== undefined)
      for (const {name, namespace} of [APP, NEIGHBOUR]) {
        shown[name] = join(dir, `${name}.sock`);
        servers.push({close: await serveCertificates(mutual, identity(namespace, 'default'), shown[name])});
      }
    for (const name of pods) await redirectPod(lab, lab.pod(name));

    const curlIn = (where: string, args: readonly string[]): Promise<ExecResult> =>
      lab.exec(where, ['curl', '-s', '-S', '--max-time', '10', ...args], {env: {CURL_CA_BUNDLE: ca.bundle}});
    const triedIn = async (where: string, args: readonly string[]): Promise<Tried> => {
      const [requests, connections] = [arrived.length, connected.length];
      const {stdout, status} = await curlIn(where, ['-w', '\n%{http_code} %{http_connect}', ...args]);
      const at = stdout.lastIndexOf('\n');
      const [code, connect] = stdout.slice(at + 1).split(' ');
      return {
        answer: [Number(code), stdout.slice(0, at).trim()],
        connect: Number(connect),
        status,
        reached: arrived.slice(requests).map(({site, path}) => `${site}${path}`),
        connected: connected.slice(connections),
      };
    };
    const world: MeshWorld = {
      lab,
      dir,
      ca,
      extauthz,
      arrived,
      connected,
      journal,
      async mesh(objects, meshConfig = {}, older) {
        await running?.stop();
        running = null;
        const istiod = await startIstiod(lab, {
          objects: [baseObjects(lab), ...objects],
          mesh: stringify({...LAB_MESH, ...meshConfig}),
          namespaces: NAMESPACES,
          dualStack: options.dualStack ?? false,
        });
        let envoy: Envoy;
        let beside: Envoy | null = null;
        try {
          envoy = await startSidecar(lab, pod, APP, lab.node.ips[0]!, {
            environment: options.environment ?? {},
            ...(older === undefined ? {} : {envoy: older.envoy, metadata: {ISTIO_VERSION: older.istio}}),
            ...(shown.app === undefined ? {} : {certificates: shown.app}),
          });
          if (options.neighbour === true)
            beside = await startSidecar(lab, lab.pod('neighbour'), NEIGHBOUR, lab.node.ips[0]!, {
              ...(shown.neighbour === undefined ? {} : {certificates: shown.neighbour}),
            });
        } catch (error) {
          await istiod.stop();
          throw error;
        }
        const started: RunningMesh = {
          envoy,
          istiod,
          beside,
          async stop() {
            if (running === started) running = null;
            await envoy.stop();
            await beside?.stop();
            await istiod.stop();
          },
        };
        running = started;
        return started;
      },
      curl: (...args) => curlIn('app', args),
      tried: (...args) => triedIn('app', args),
      triedBeside: (...args) => triedIn('neighbour', args),
      close,
    };
    return world;
  } catch (error) {
    await close();
    throw error;
  }
}

/** What the lab's mesh needs beside what is generated: no mutual TLS, which wants a CA. */
const LAB_MESH = {
  enableAutoMtls: false,
  rootNamespace: 'istio-system',
  defaultConfig: {discoveryAddress: '127.0.0.1:15010'},
} as const;

function baseObjects(lab: Lab): string {
  const plain = {
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: {name: 'default', namespace: 'istio-system'},
    spec: {mtls: {mode: 'DISABLE'}},
  };
  // Stands for the Service: istiod has no Kubernetes here to know it from.
  const extauthz = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: {name: EXTAUTHZ.name, namespace: EXTAUTHZ.namespace},
    spec: {
      hosts: [`${EXTAUTHZ.name}.${EXTAUTHZ.namespace}.svc.cluster.local`],
      addresses: ['10.96.0.9'],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{number: EXTAUTHZ.port, name: 'grpc', protocol: 'GRPC'}],
      endpoints: [{address: lab.node.ips[0]}],
    },
  };
  return [plain, extauthz].map((object) => stringify(object)).join('---\n');
}

/** Writes its certificate of the mesh; the result are its flags. */
export function extauthzCertificate(dir: string, mesh: MeshCa): readonly string[] {
  const {cert_chain: chain, private_key: key} = mesh.pair(EXTAUTHZ_ID);
  const files = {'tls-cert': chain, 'tls-key': key, 'client-ca': mesh.root};
  return Object.entries(files).flatMap(([flag, pem]) => {
    const path = join(dir, `${flag}.pem`);
    writeFileSync(path, pem, {mode: 0o600});
    return [`--${flag}`, path];
  });
}

/** Starts `sallyport extauthz` on the node; resolves when it listens. */
export async function startExtauthz(
  lab: Lab,
  journal: Readonly<Record<string, unknown>>[],
  flags: readonly string[],
): Promise<ChildProcess> {
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
      const line = JSON.parse(text) as Readonly<Record<string, unknown>>;
      journal.push(line);
      if (line['event'] !== 'extauthz.listening') return;
      clearTimeout(timer);
      resolve();
    });
  });
  return child;
}
