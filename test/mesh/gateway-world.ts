/** A lab with sites, DNS, pods in a mesh with mutual TLS, an egress gateway, and `sallyport extauthz` that mints for it. */
import type {ChildProcess} from 'node:child_process';
import {mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {answerQuery} from '../../cli/demo/dns.ts';
import {publicCa, type PublicCa} from '../../cli/demo/public-ca.ts';
import {meshCa, type MeshCa} from '../../extauthz/sds/testing/mesh-ca.ts';
import type {Envoy} from '../envoy/index.ts';
import {serve, type Arrived, type Site} from '../envoy/sites.ts';
import {createLab, udpIn, type Lab, type LabPod} from '../lab/index.ts';
import {serveCertificates} from './certificates.ts';
import {startIstiod, type Istiod} from './istiod.ts';
import {redirectPod, startSidecar} from './proxy.ts';
import {EXTAUTHZ, extauthzCertificate, identity, RESOLVER, startExtauthz, type Tried} from './world.ts';

export const SDS_PORT = 9001;
export const GATEWAY_ID = identity('istio-egress', 'istio-egressgateway');
/** The one whose traffic leaves through the gateway. */
export const APP = {name: 'app', namespace: 'app', labels: {app: 'web'}, serviceAccount: 'web'} as const;
/** Another pod, which has mutual TLS and no policy. */
export const OTHER = {name: 'other', namespace: 'other', labels: {app: 'job'}, serviceAccount: 'job'} as const;
export const GATEWAY = {name: 'gateway', namespace: 'istio-egress', labels: {istio: 'egressgateway'}} as const;
const NAMESPACES = [APP.namespace, GATEWAY.namespace, EXTAUTHZ.namespace, 'istio-system', 'other'];

export interface RunningGateway {
  readonly sidecar: Envoy;
  readonly gateway: Envoy;
  readonly istiod: Istiod;
  stop(): Promise<void>;
}

export interface GatewayWorld {
  readonly lab: Lab;
  readonly dir: string;
  readonly ca: PublicCa;
  readonly mesh: MeshCa;
  readonly app: LabPod;
  readonly gatewayPod: LabPod;
  readonly extauthz: ChildProcess;
  readonly arrived: Arrived[];
  readonly connected: string[];
  readonly journal: readonly Readonly<Record<string, unknown>>[];
  /** Roots that the pod trusts: the public ones, and those of extauthz, as the injector gives them. */
  readonly bundle: string;
  start(objects: readonly string[], meshConfig?: object): Promise<RunningGateway>;
  /** curl in the pod. */
  tried(...args: readonly string[]): Promise<Tried>;
  /** curl in a pod as a program that Istio does not redirect: of the group of the proxy itself. */
  triedAround(pod: string, ...args: readonly string[]): Promise<Tried>;
  /** curl's arguments for showing a certificate of the mesh: `--PREFIXcert` and `--PREFIXkey`. */
  showing(spiffeId: string, prefix?: 'proxy-'): readonly string[];
  close(): Promise<void>;
}

export interface GatewayWorldOptions {
  readonly policies: readonly object[];
  readonly sites: readonly Site[];
  /** More names and their addresses. */
  readonly names?: Readonly<Record<string, string>>;
  /** Variables of the gateway's container. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Starts what else there is outside, for as long as the world. */
  readonly prepare?: (lab: Lab, dir: string) => Promise<() => Promise<void>>;
}

export async function gatewayWorld({
  policies,
  sites,
  names: more = {},
  environment = {},
  prepare,
}: GatewayWorldOptions): Promise<GatewayWorld> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-gateway-'));
  const lab = await createLab({name: 'gw', pods: ['app', 'gateway', 'other', 'late'].map((name) => ({name}))});
  const ca = publicCa(join(dir, 'public-ca'));
  const mesh = meshCa();
  const ends: (() => void | Promise<void>)[] = [];
  const arrived: Arrived[] = [];
  const connected: string[] = [];
  const journal: Readonly<Record<string, unknown>>[] = [];
  let running: RunningGateway | null = null;
  const close = async (): Promise<void> => {
    await running?.stop();
    for (const end of ends) await end();
    await lab.close();
    rmSync(dir, {recursive: true, force: true});
  };
  try {
    const names = new Map([...sites.map(({name, ip}) => [name, ip] as const), ...Object.entries(more)]);
    await lab.internet.addAddress(RESOLVER);
    const dns = await udpIn(lab.internet.path, RESOLVER, 53);
    dns.on('message', (query, from) => {
      const answer = answerQuery(query, (name) => names.get(name));
      if (answer !== null) dns.send(answer, from.port, from.address);
    });
    ends.push(() => void dns.close());
    for (const where of ['app', 'gateway', 'other', 'late', 'node', 'internet']) lab.setResolver(where, RESOLVER);
    for (const site of sites)
      for (const server of await serve(lab, ca, site, arrived, connected)) ends.push(() => void server.close());

    if (prepare !== undefined) ends.push(await prepare(lab, dir));

    const app = lab.pod('app');
    const gatewayPod = lab.pod('gateway');
    lab.writeEtc('gateway', 'ssl/certs/ca-certificates.crt', readFileSync(ca.bundle, 'utf8'));
    const sockets = {app: join(dir, 'app.sock'), gateway: join(dir, 'gateway.sock')};
    ends.push(
      await serveCertificates(mesh, identity(APP.namespace, APP.serviceAccount), sockets.app),
      await serveCertificates(mesh, GATEWAY_ID, sockets.gateway),
    );
    const extauthz = await startExtauthz(lab, journal, extauthzFlags(lab, dir, mesh, policies));
    await redirectPod(lab, app);
    const bundle = join(dir, 'pod-bundle.pem');
    writeFileSync(bundle, readFileSync(join(dir, 'ca/bundle.pem'), 'utf8') + readFileSync(ca.bundle, 'utf8'));

    const shown = new Map<string, string>();
    const curl = async (pod: string, through: readonly string[], args: readonly string[]): Promise<Tried> => {
      const [requests, connections] = [arrived.length, connected.length];
      const argv = [...through, 'curl', '-s', '-S', '--max-time', '10', '-w', '\n%{http_code} %{http_connect}'];
      const {stdout, status} = await lab.exec(pod, [...argv, ...args], {env: {CURL_CA_BUNDLE: bundle}});
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
    return {
      lab,
      dir,
      ca,
      mesh,
      app,
      gatewayPod,
      extauthz,
      arrived,
      connected,
      journal,
      bundle,
      async start(objects, meshConfig = {}) {
        await running?.stop();
        running = null;
        const istiodIp = lab.node.ips[0]!;
        const istiod = await startIstiod(lab, {
          objects: [baseObjects(lab, gatewayPod), ...objects],
          mesh: stringify({...LAB_MESH, ...meshConfig}),
          namespaces: NAMESPACES,
        });
        const started: {stop(): Promise<void>}[] = [istiod];
        const stop = async (): Promise<void> => {
          for (const one of started.reverse()) await one.stop();
        };
        try {
          const gateway = await startSidecar(lab, gatewayPod, GATEWAY, istiodIp, {
            kind: 'router',
            certificates: sockets.gateway,
            environment,
          });
          started.push(gateway);
          const sidecar = await startSidecar(lab, app, APP, istiodIp, {certificates: sockets.app});
          started.push(sidecar);
          const now: RunningGateway = {
            sidecar,
            gateway,
            istiod,
            async stop() {
              if (running === now) running = null;
              await stop();
            },
          };
          running = now;
          return now;
        } catch (error) {
          await stop();
          throw error;
        }
      },
      tried: (...args) => curl('app', [], args),
      triedAround: (pod, ...args) => curl(pod, ['setpriv', '--regid', '1337', '--clear-groups'], args),
      showing(spiffeId, prefix = '' as 'proxy-') {
        const base = shown.get(spiffeId) ?? join(dir, `shown-${shown.size}`);
        if (!shown.has(spiffeId)) {
          shown.set(spiffeId, base);
          const {cert_chain: chain, private_key: key} = mesh.pair(spiffeId);
          writeFileSync(`${base}.crt`, chain);
          writeFileSync(`${base}.key`, key, {mode: 0o600});
        }
        return [`--${prefix}cert`, `${base}.crt`, `--${prefix}key`, `${base}.key`];
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What the lab's mesh needs beside what is generated. */
const LAB_MESH = {
  enableAutoMtls: false,
  rootNamespace: 'istio-system',
  defaultConfig: {discoveryAddress: '127.0.0.1:15010'},
} as const;

function baseObjects(lab: Lab, gateway: LabPod): string {
  const objects = [
    // Of what comes in, which is nothing here.
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'PeerAuthentication',
      metadata: {name: 'default', namespace: 'istio-system'},
      spec: {mtls: {mode: 'DISABLE'}},
    },
    // These stand for what istiod would know from Kubernetes: the Service of extauthz, and the gateway's pod.
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: {name: EXTAUTHZ.name, namespace: EXTAUTHZ.namespace},
      spec: {
        hosts: [`${EXTAUTHZ.name}.${EXTAUTHZ.namespace}.svc.cluster.local`],
        addresses: ['10.96.0.9'],
        location: 'MESH_INTERNAL',
        resolution: 'STATIC',
        ports: [
          {number: EXTAUTHZ.port, name: 'grpc', protocol: 'GRPC'},
          {number: SDS_PORT, name: 'grpc-sds', protocol: 'GRPC'},
        ],
        endpoints: [{address: lab.node.ips[0]}],
      },
    },
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'WorkloadEntry',
      metadata: {name: GATEWAY.name, namespace: GATEWAY.namespace},
      spec: {address: gateway.ip4, labels: GATEWAY.labels, serviceAccount: 'istio-egressgateway'},
    },
  ];
  return objects.map((object) => stringify(object)).join('---\n');
}

/** Writes what extauthz reads: policies, workloads, its certificate of the mesh. */
function extauthzFlags(lab: Lab, dir: string, mesh: MeshCa, policies: readonly object[]): readonly string[] {
  const path = (name: string): string => join(dir, name);
  mkdirSync(path('policies'));
  writeFileSync(path('policies/policy.yaml.new~'), policies.map((document) => stringify(document)).join('---\n'));
  renameSync(path('policies/policy.yaml.new~'), path('policies/policy.yaml'));
  writeFileSync(
    path('workloads.yaml'),
    stringify([APP, OTHER].map((one) => ({ips: lab.pod(one.name).ips, ...one, trustsCa: true}))),
  );
  const at = lab.node.ips[0]!;
  return [
    ...['--policy', path('policies'), '--workloads', path('workloads.yaml'), '--resolver', RESOLVER],
    ...['--listen', `${at}:${EXTAUTHZ.port}`, ...extauthzCertificate(dir, mesh), '--hop', GATEWAY_ID],
    ...['--sds', `${at}:${SDS_PORT}`, '--sds-peer', GATEWAY_ID, '--ca-dir', path('ca'), '--log-format', 'json'],
  ];
}
