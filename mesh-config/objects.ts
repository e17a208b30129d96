/** What is generated: Istio objects as plain values, each with the reason why it exists. */
import {createHash} from 'node:crypto';
import type {MeshEgressDocument} from '../policy/index.ts';

export interface IstioObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly spec: Readonly<Record<string, unknown>>;
}

export interface Generated {
  /** Sentences for whoever reads the YAML: why it is there, and what would be open without it. */
  readonly why: string;
  readonly object: IstioObject;
}

/** Labels of everything that is generated: whose it is, so that `apply` can take away what is not generated any more. */
export const OWNED = {managedBy: 'app.kubernetes.io/managed-by', meshEgress: 'sallyport.dev/mesh-egress'} as const;

export const ownLabels = (mesh: MeshEgressDocument): Readonly<Record<string, string>> => ({
  [OWNED.managedBy]: 'sallyport',
  [OWNED.meshEgress]: mesh.name,
});

/** Where one entry of `enforcement` holds: the namespace of its objects, its pods, and a suffix for names. */
export interface Scope {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly suffix: string;
}

export function scopeOf(
  mesh: MeshEgressDocument,
  {namespace, labels}: MeshEgressDocument['enforcement'][number],
): Scope {
  const sorted = Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  // Labels are no part of a name that Kubernetes takes, and the position in the list would rename objects when it changes.
  const suffix =
    Object.keys(sorted).length === 0
      ? ''
      : `-${createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 8)}`;
  return {namespace: namespace ?? mesh.istio.rootNamespace, labels: sorted, suffix};
}

export function istioObject(
  mesh: MeshEgressDocument,
  apiVersion: string,
  kind: string,
  name: string,
  namespace: string,
  spec: IstioObject['spec'],
): IstioObject {
  return {apiVersion, kind, metadata: {name, namespace, labels: ownLabels(mesh)}, spec};
}

/** Istio's `workloadSelector`, absent where every pod is meant. */
export const workloadSelector = ({labels}: Scope): Readonly<Record<string, unknown>> =>
  Object.keys(labels).length === 0 ? {} : {workloadSelector: {labels}};
