/** A real istiod with a real Kubernetes API: what waypoints are made of is read from there, and from nowhere else. */
import {spawn} from 'node:child_process';
import {readdirSync, writeFileSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {startControlPlane, type ControlPlane} from '../cluster/control-plane.ts';
import {freePorts} from '../cluster/ports.ts';
import {gatewayApiCrds, istioCrds, istioProgram} from './binaries.ts';

const START_TIMEOUT_MS = 120_000;
const POLL_MS = 100;

export interface AmbientIstiod {
  readonly cluster: ControlPlane;
  /** A unix socket at which Envoys of a lab ask it. */
  readonly xds: string;
  said(): string;
  /** Throws with kubectl's words where it fails. */
  apply(objects: readonly object[] | string): void;
  stop(): Promise<void>;
}

/** `dir` is where its files go; they are removed with it. */
export async function startAmbientIstiod(
  dir: string,
  mesh: object,
  namespaces: readonly string[],
): Promise<AmbientIstiod> {
  const cluster = await startControlPlane();
  const kubectl = (argv: readonly string[], input?: string): void => {
    const {status, stderr} = cluster.kubectl(argv, input);
    if (status !== 0) throw new Error(`kubectl ${argv.join(' ')}: ${stderr}`);
  };
  const ends: (() => Promise<void> | void)[] = [() => cluster.stop()];
  const stop = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const folder = gatewayApiCrds();
    const crds = readdirSync(folder).filter(
      (name) => name.startsWith('gateway.networking.k8s.io_') && !name.includes('_vap_'),
    );
    kubectl([
      'apply',
      '--server-side',
      ...[istioCrds()!, ...crds.map((file) => join(folder, file))].flatMap((file) => ['-f', file]),
    ]);
    const made = namespaces.map((name) => stringify({apiVersion: 'v1', kind: 'Namespace', metadata: {name}}));
    kubectl(['apply', '-f', '-'], made.join('---\n'));
    const [xdsPort, httpPort, monitoringPort] = (await freePorts(3)) as [number, number, number];
    writeFileSync(join(dir, 'mesh.yaml'), stringify(mesh));
    const child = spawn(
      istioProgram('pilot-discovery')!,
      [
        ...['discovery', '--registries=Kubernetes', '--kubeconfig', cluster.kubeconfig, '--domain', 'cluster.local'],
        ...['--meshConfig', join(dir, 'mesh.yaml'), '--grpcAddr', `127.0.0.1:${xdsPort}`, '--httpsAddr', ''],
        ...['--httpAddr', `127.0.0.1:${httpPort}`, '--secureGRPCAddr', '', '--shutdownDuration', '1s'],
        ...['--monitoringAddr', `127.0.0.1:${monitoringPort}`],
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          PATH: process.env['PATH'],
          HOME: dir,
          POD_NAMESPACE: 'istio-system',
          POD_NAME: 'istiod-lab',
          ENABLE_CA_SERVER: 'false',
          PILOT_ENABLE_AMBIENT: 'true',
          // What only Istio's own build of Envoy knows.
          PILOT_ENABLE_METADATA_EXCHANGE: 'false',
          PILOT_ENABLE_ALPN_FILTER: 'false',
          AMBIENT_ENABLE_MULTI_NETWORK_WAYPOINT: 'false',
        },
      },
    );
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    ends.push(async () => {
      child.kill('SIGKILL');
      await ended;
    });
    for (const deadline = Date.now() + START_TIMEOUT_MS; ;) {
      const ready = await fetch(`http://127.0.0.1:${httpPort}/ready`).then(
        ({ok}) => ok,
        () => false,
      );
      if (ready) break;
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`istiod does not get ready:\n${said}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    const xds = join(dir, 'xds.sock');
    const relay = createServer((socket) => {
      const upstream = connect(xdsPort, '127.0.0.1');
      for (const [one, other] of [
        [socket, upstream],
        [upstream, socket],
      ] as const)
        one.on('error', () => other.destroy()).pipe(other);
    });
    await new Promise<void>((resolve) => relay.listen(xds, resolve));
    ends.push(() => void relay.close());
    return {
      cluster,
      xds,
      said: () => said,
      apply: (objects) =>
        kubectl(
          ['apply', '--server-side', '-f', '-'],
          typeof objects === 'string' ? objects : objects.map((one) => stringify(one)).join('---\n'),
        ),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
