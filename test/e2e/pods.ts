/** Pods of the tests, and requests from inside of them. */
import type {Cluster} from './cluster/cluster.ts';
import type {Ran} from './cluster/machine.ts';
import {eventually} from './report.ts';

export interface PodSpec {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Default: it waits to be used by kubectl exec. */
  readonly command?: readonly string[];
  /** Mounted at /config. */
  readonly configMap?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Run to its end before the container starts. */
  readonly init?: readonly string[];
}

/** The image of the tests, for a container. */
export const TOOLS = {image: 'localhost/tools:1', imagePullPolicy: 'Never'};

/** Makes it and waits until it is ready. Rejects with what kubectl said. */
export async function makePod(cluster: Cluster, spec: PodSpec): Promise<void> {
  const {namespace, name, labels, annotations = {}, command = ['sleep', '86400'], configMap, env = {}, init} = spec;
  // Made by a controller a moment after the namespace; no pod is admitted before.
  await eventually(`the service account of ${namespace}`, async () => {
    const {status} = await cluster.kubectl(['-n', namespace, 'get', 'serviceaccount', 'default']);
    return status === 0;
  });
  const pod = {
    ...{apiVersion: 'v1', kind: 'Pod', metadata: {name, namespace, labels, annotations}},
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      ...(init === undefined ? {} : {initContainers: [{name: 'first', ...TOOLS, command: init}]}),
      containers: [
        {
          ...{name: 'app', ...TOOLS, command},
          env: Object.entries(env).map(([name, value]) => ({name, value})),
          ...(configMap === undefined ? {} : {volumeMounts: [{name: 'config', mountPath: '/config'}]}),
        },
      ],
      ...(configMap === undefined ? {} : {volumes: [{name: 'config', configMap: {name: configMap}}]}),
    },
  };
  await cluster.must(['apply', '-f', '-'], JSON.stringify(pod));
  await cluster.must(['-n', namespace, 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=120s']);
}

/** What a suite made for itself goes when it ends: a proxy for every host, say, would be the next suite's as well. */
export async function leave(
  cluster: Cluster,
  namespaces: readonly string[],
  kinds: readonly string[] = [],
): Promise<void> {
  for (const kind of kinds) await cluster.must(['delete', kind, '--all']);
  await cluster.must(['delete', 'namespace', '--ignore-not-found', '--timeout=180s', ...namespaces]);
}

/** curl in the pod: the status of the answer, or `curl N` with its exit code. */
export async function curlIn(
  cluster: Cluster,
  namespace: string,
  pod: string,
  url: string,
  ...more: readonly string[]
): Promise<string> {
  return outcome(await cluster.kubectl(['exec', '-n', namespace, pod, '-c', 'app', '--', ...curlArgv(url, more)]));
}

/** The same without the API server, in a container that `containerOf` named. The pod's own variables are not set there. */
export async function curlInContainer(cluster: Cluster, id: string, url: string): Promise<string> {
  return outcome(await cluster.inContainer(id, curlArgv(url, ['-k'])));
}

const curlArgv = (url: string, more: readonly string[]): string[] => [
  ...['sh', '-c', 'curl "$@"; echo " $?"', 'curl'],
  ...['-s', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '10', ...more, url],
];

function outcome({stdout, stderr}: Ran): string {
  const [status, code] = stdout.trim().split(/\s+/);
  if (code === undefined) return stderr.trim();
  return code === '0' ? status! : `curl ${code}`;
}
