/** The parts of a Pod that the injector reads and writes. Everything else travels through it as it came. */

/** A variable; `valueFrom` is the author's and is copied, never looked into. */
export interface EnvVar {
  name: string;
  value?: string;
  valueFrom?: unknown;
}

export interface VolumeMount {
  name: string;
  mountPath: string;
  subPath?: string;
  readOnly?: boolean;
}

export interface SecurityContext {
  privileged?: boolean;
  runAsUser?: number;
  capabilities?: {add?: string[]; drop?: string[]};
  [other: string]: unknown;
}

export interface Container {
  name: string;
  env?: EnvVar[];
  volumeMounts?: VolumeMount[];
  securityContext?: SecurityContext;
  [other: string]: unknown;
}

export interface Volume {
  name: string;
  [source: string]: unknown;
}

export interface Metadata {
  name?: string;
  generateName?: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  [other: string]: unknown;
}

export interface Pod {
  metadata: Metadata;
  spec: {
    containers: Container[];
    initContainers?: Container[];
    ephemeralContainers?: Container[];
    volumes?: Volume[];
    hostNetwork?: boolean;
    securityContext?: SecurityContext;
    os?: {name?: string};
    nodeSelector?: Record<string, string>;
    [other: string]: unknown;
  };
  [other: string]: unknown;
}

/** What the API server says of the pod's namespace. */
export interface Namespace {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** `default/web-5d4`, or `default/web-…` for a pod whose name the API server makes. */
export function podName(pod: Pod, namespace: string): string {
  const {name, generateName} = pod.metadata;
  return `${namespace}/${name ?? `${generateName ?? ''}…`}`;
}

/** All containers, in the order in which they start. */
export function containersOf(pod: Pod): Container[] {
  const {initContainers = [], containers, ephemeralContainers = []} = pod.spec;
  return [...initContainers, ...containers, ...ephemeralContainers];
}
