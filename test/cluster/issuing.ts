/** A cluster with an issuer of identities: the ServiceAccounts, pods and tokens that tests ask with. */
import {mkdtempSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {certificatePem, makeRoot, makeServerCertificate, newKey, parseCaCertificates} from '../../pki/index.ts';
import {IDENTITY_AUDIENCE} from '../../runtime/names.ts';
import {startControlPlane, type ControlPlane} from './control-plane.ts';
import {startRole, type Role} from './role.ts';

const HOUR_MS = 3_600_000;

export interface TestPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface Issuing {
  readonly cluster: ControlPlane;
  /** By what the issuer is known: it is at `localhost`. */
  readonly caFile: string;
  readonly create: (object: object) => void;
  /** Runs a controller that issues, and stops with the cluster. */
  readonly startIssuer: (...flags: string[]) => Promise<{readonly role: Role; readonly port: number}>;
  /** A pod that runs on the node, of shop unless it is said otherwise. */
  readonly pod: (
    serviceAccount: string,
    node: string,
    of?: {readonly namespace?: string; readonly hostNetwork?: boolean},
  ) => TestPod;
  /** As the kubelet asks for it where a pod has a projected token; `of` null: bound to nothing. */
  readonly token: (namespace: string, serviceAccount: string, of: TestPod | null, audience?: string) => string;
  readonly stop: () => Promise<void>;
}

/** ServiceAccounts web and admin of shop and sallyport-node of sallyport; nodes node-1 and node-2. */
export async function startIssuing(): Promise<Issuing> {
  const cluster = await startControlPlane();
  const roles: Role[] = [];
  const create = (object: object): void => {
    const {status, stderr} = cluster.kubectl(['create', '-f', '-'], JSON.stringify(object));
    if (status !== 0) throw new Error(stderr);
  };
  for (const name of ['sallyport', 'shop']) create({apiVersion: 'v1', kind: 'Namespace', metadata: {name}});
  for (const [namespace, name] of [
    ['shop', 'web'],
    ['shop', 'admin'],
    ['sallyport', 'sallyport-node'],
  ] as const)
    create({apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name, namespace}});
  for (const name of ['node-1', 'node-2']) create({apiVersion: 'v1', kind: 'Node', metadata: {name}});
  const key = newKey();
  const root = certificatePem(makeRoot(key, Date.now(), HOUR_MS));
  const {chainPem, keyPem} = makeServerCertificate(
    {key, chain: parseCaCertificates(root, 'a test root')},
    ['localhost'],
    Date.now(),
    HOUR_MS,
  );
  const caFile = join(mkdtempSync(join(cluster.dir, 'issuer-')), 'ca.crt');
  writeFileSync(caFile, root);
  create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'sallyport-issuer-tls', namespace: 'sallyport'},
    stringData: {'tls.crt': chainPem, 'tls.key': keyPem, 'ca.crt': root},
  });
  let made = 0;
  return {
    ...{cluster, caFile, create},
    async startIssuer(...flags) {
      const role = startRole([
        ...['controller', '--kubeconfig', cluster.kubeconfig, '--identity', `issuer-${roles.length}`],
        ...['--admin', '127.0.0.1:0', '--issuer', '*:0', '--serving-certificates', 'external', ...flags],
      ]);
      roles.push(role);
      const {message} = await role.logged(({event}) => event === 'issuer.listening');
      return {role, port: Number(/:(\d+)$/.exec(message)![1])};
    },
    pod(serviceAccount, node, {namespace = 'shop', hostNetwork = false} = {}) {
      const name = `${serviceAccount}-${++made}`;
      create({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {name, namespace},
        spec: {
          ...{serviceAccountName: serviceAccount, automountServiceAccountToken: false, nodeName: node, hostNetwork},
          containers: [{name: 'app', image: 'example/app'}],
        },
      });
      const uid = cluster.kubectl(['get', 'pod', '-n', namespace, name, '-o', 'jsonpath={.metadata.uid}']).stdout;
      return {namespace, name, uid};
    },
    token(namespace, serviceAccount, of, audience = IDENTITY_AUDIENCE) {
      const argv = ['create', 'token', serviceAccount, '-n', namespace, '--duration', '10m', '--audience', audience];
      if (of !== null)
        argv.push('--bound-object-kind=Pod', `--bound-object-name=${of.name}`, `--bound-object-uid=${of.uid}`);
      const {status, stdout, stderr} = cluster.kubectl(argv);
      if (status !== 0) throw new Error(stderr);
      return stdout.trim();
    },
    async stop() {
      for (const role of roles) await role.stop();
      await cluster.stop();
    },
  };
}
