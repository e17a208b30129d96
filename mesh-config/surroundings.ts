/** What stands beside our objects in a cluster, as far as it can get in their way. */
import type {MeshEgressDocument} from '../policy/index.ts';
import {ownLabels} from './objects.ts';

export interface Named {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

export interface Port {
  readonly number?: number;
  readonly port?: number;
  readonly name?: string;
  readonly protocol?: string;
  readonly appProtocol?: string;
}

export interface ServiceEntry extends Named {
  readonly spec: {
    readonly hosts?: readonly string[];
    readonly addresses?: readonly string[];
    readonly ports?: readonly Port[];
    readonly exportTo?: readonly string[];
    readonly resolution?: string;
    readonly endpoints?: readonly {readonly address?: string}[];
    readonly location?: string;
  };
}

export interface Service extends Named {
  readonly spec: {readonly clusterIPs?: readonly string[]; readonly ports?: readonly Port[]};
}

export interface SidecarResource extends Named {
  readonly spec: {
    readonly workloadSelector?: {readonly labels?: Readonly<Record<string, string>>};
    readonly egress?: readonly {readonly hosts?: readonly string[]}[];
    readonly outboundTrafficPolicy?: {readonly mode?: string};
  };
}

export interface EnvoyFilter extends Named {
  readonly spec: {
    readonly priority?: number;
    readonly workloadSelector?: {readonly labels?: Readonly<Record<string, string>>};
    readonly targetRefs?: readonly object[];
    readonly configPatches?: readonly {
      readonly applyTo?: string;
      readonly match?: {
        readonly context?: string;
        readonly proxy?: {readonly proxyVersion?: string};
        readonly listener?: {
          readonly name?: string;
          readonly portNumber?: number;
          readonly filterChain?: {
            readonly filter?: {readonly name?: string; readonly subFilter?: {readonly name?: string}};
          };
        };
        readonly cluster?: {readonly name?: string; readonly service?: string; readonly portNumber?: number};
      };
      readonly patch?: {readonly operation?: string; readonly value?: unknown};
    }[];
  };
}

export interface NetworkPolicy extends Named {
  readonly spec: {
    readonly podSelector?: {readonly matchLabels?: Readonly<Record<string, string>>};
    readonly egress?: readonly {readonly to?: readonly {readonly ipBlock?: {readonly cidr: string}}[]}[];
  };
}

/** A pod of Istio's: istiod, or one with a proxy. */
export interface Proxy extends Named {
  /** `1.30`; null: it does not tell. */
  readonly version: string | null;
}

export interface Surroundings {
  readonly istiods: readonly Proxy[];
  /** Pods with a proxy. */
  readonly proxies: readonly Proxy[];
  readonly serviceEntries: readonly ServiceEntry[];
  readonly services: readonly Service[];
  readonly sidecars: readonly SidecarResource[];
  readonly envoyFilters: readonly EnvoyFilter[];
  readonly networkPolicies: readonly NetworkPolicy[];
  /** The `mesh` of Istio's ConfigMap; null: there is none. */
  readonly mesh: string | null;
}

/** Whether it says that it is of this MeshEgress. Who lies is found too: what was not generated, `diff` shows and `apply` removes. */
export const isOurs = (mesh: MeshEgressDocument, {metadata}: Named): boolean =>
  Object.entries(ownLabels(mesh)).every(([key, value]) => metadata.labels?.[key] === value);

export const nameOf = ({kind, metadata}: Named): string => `${kind} ${metadata.namespace}/${metadata.name}`;

/** Whether pods of these namespaces (null: of any) see the service. Without exportTo everybody does. */
export function isSeenIn({metadata, spec}: ServiceEntry, namespaces: readonly string[] | null): boolean {
  const to = spec.exportTo ?? ['*'];
  if (to.includes('*')) return true;
  const named = to.map((one) => (one === '.' ? metadata.namespace : one));
  return namespaces === null ? named.some((one) => one !== '~') : named.some((one) => namespaces.includes(one));
}
