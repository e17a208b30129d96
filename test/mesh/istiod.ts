/** A real istiod on a lab's node, without Kubernetes: its objects are files, and Envoys of the lab ask it for their configuration. */
import {request, type Server} from 'node:http';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {connectIn, listenIn, type Lab} from '../lab/index.ts';
import {istioProgram} from './binaries.ts';
import {emptyKubeApi} from './kube-api.ts';

/** Where Envoys ask, on the node's own address. */
export const XDS_PORT = 15010;
const API_PORT = 6443;
const HTTP_PORT = 8180;
const MONITORING_PORT = 15014;
/** It is there after half a second on an idle machine. */
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5000;
const POLL_MS = 50;

export interface Istiod {
  /** What it says of itself. */
  said(): string;
  /** Asks its debug interface: `/debug/syncz`. */
  ask(path: string): Promise<string>;
  stop(): Promise<void>;
}

export interface IstiodOptions {
  /** Istio's objects, as YAML texts of one or more documents. */
  readonly objects: readonly string[];
  /** The `mesh` of the ConfigMap `istio`, as YAML. */
  readonly mesh: string;
  readonly namespaces: readonly string[];
  /** IPv6 beside IPv4, as in a cluster of both. */
  readonly dualStack?: boolean;
}

/**
 * Starts istiod and waits until it is ready.
 * Rejects with its own words where it does not start, or refuses an object: one that it refuses keeps all others away.
 */
export async function startIstiod(
  lab: Lab,
  {objects, mesh, namespaces, dualStack = false}: IstiodOptions,
): Promise<Istiod> {
  const program = istioProgram('pilot-discovery');
  if (program === null) throw new Error('istiod is not built: node cli/setup.mjs mesh');
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-istiod-'));
  const removeFiles = (): void => rmSync(dir, {recursive: true, force: true});
  process.once('exit', removeFiles);
  const api: Server = emptyKubeApi(namespaces);
  await listenIn(lab.node.path, api, '127.0.0.1', API_PORT);

  mkdirSync(join(dir, 'objects'));
  objects.forEach((text, i) => writeFileSync(join(dir, 'objects', `${String(i).padStart(3, '0')}.yaml`), text));
  writeFileSync(join(dir, 'mesh.yaml'), mesh);
  writeFileSync(join(dir, 'kubeconfig'), stringify(kubeconfig()));
  const child = lab.spawn(
    'node',
    [
      ...[program, 'discovery', '--configDir', join(dir, 'objects'), '--registries=Kubernetes'],
      ...['--kubeconfig', join(dir, 'kubeconfig'), '--meshConfig', join(dir, 'mesh.yaml'), '--domain', 'cluster.local'],
      ...['--grpcAddr', `:${XDS_PORT}`, '--httpAddr', `127.0.0.1:${HTTP_PORT}`, '--httpsAddr', ''],
      ...['--secureGRPCAddr', '', '--monitoringAddr', `127.0.0.1:${MONITORING_PORT}`, '--shutdownDuration', '1s'],
    ],
    {
      env: {
        POD_NAMESPACE: 'istio-system',
        POD_NAME: 'istiod-lab',
        ENABLE_CA_SERVER: 'false',
        UNSAFE_ENABLE_ADMIN_ENDPOINTS: 'true',
        // Filters that only Istio's own build of Envoy knows.
        PILOT_ENABLE_METADATA_EXCHANGE: 'false',
        PILOT_ENABLE_ALPN_FILTER: 'false',
        ISTIO_DUAL_STACK: String(dualStack),
      },
      cwd: dir,
    },
  );
  let said = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const istiod: Istiod = {
    said: () => said,
    ask: (path) => ask(lab, path),
    async stop() {
      const kill = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await ended;
      clearTimeout(kill);
      api.closeAllConnections();
      api.close();
      removeFiles();
      process.off('exit', removeFiles);
    },
  };
  const failed = async (why: string): Promise<never> => {
    await istiod.stop();
    throw new Error(`istiod ${why}\n${said}`);
  };
  for (const deadline = Date.now() + START_TIMEOUT_MS; ;) {
    if (child.exitCode !== null) await failed(`ended with exit code ${child.exitCode}`);
    const refused = said.split('\n').find((line) => REFUSED.test(line));
    if (refused !== undefined) {
      await istiod.stop();
      throw new Error(`istiod refuses an object: ${refused}`);
    }
    const ready = await istiod.ask('/ready').catch(() => null);
    if (ready !== null) return istiod;
    if (Date.now() > deadline) await failed(`was not ready after ${START_TIMEOUT_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const REFUSED = /unable to reload file configuration|Error decoding|Failed to validate|failed to parse/;

function kubeconfig(): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{name: 'lab', cluster: {server: `http://127.0.0.1:${API_PORT}`}}],
    users: [{name: 'lab', user: {}}],
    contexts: [{name: 'lab', context: {cluster: 'lab', user: 'lab'}}],
    'current-context': 'lab',
  };
}

function ask(lab: Lab, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const createConnection = () => connectIn(lab.node.path, {ip: '127.0.0.1', port: HTTP_PORT});
    const asked = request({path, createConnection, host: 'istiod'}, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString());
        else reject(new Error(`istiod answered ${response.statusCode} to ${path}`));
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}
