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
    readonly workloadSelector?: object;
    readonly location?: string;
  };
}

/** Where a VirtualService sends what fits one of its routes, and what it makes of it before. */
export interface Route {
  readonly match?: readonly {readonly sniHosts?: readonly string[]; readonly authority?: {readonly exact?: string}}[];
  readonly rewrite?: object;
  readonly headers?: {readonly request?: {readonly set?: Readonly<Record<string, string>>}};
  readonly route?: readonly {readonly destination?: {readonly host?: string}}[];
  readonly mirror?: {readonly host?: string};
  readonly mirrors?: readonly {readonly destination?: {readonly host?: string}}[];
}

export interface VirtualService extends Named {
  readonly spec: {
    readonly hosts?: readonly string[];
    readonly gateways?: readonly string[];
    readonly exportTo?: readonly string[];
    readonly http?: readonly Route[];
    readonly tls?: readonly Route[];
    readonly tcp?: readonly Route[];
  };
}

export interface Reference {
  readonly kind?: string;
  readonly name?: string;
}

/** Of extensions.istio.io: code of others in the proxies of its namespace. */
export interface WasmPlugin extends Named {
  readonly spec: {
    readonly match?: readonly {readonly mode?: string}[];
    readonly selector?: {readonly matchLabels?: Readonly<Record<string, string>>};
    readonly targetRefs?: readonly Reference[];
    /** As targetRefs, of one. */
    readonly targetRef?: Reference;
  };
}

export interface Service extends Named {
  readonly spec: {readonly clusterIPs?: readonly string[]; readonly ports?: readonly Port[]};
}

export interface SidecarResource extends Named {
  readonly spec: {
    readonly workloadSelector?: {readonly labels?: Readonly<Record<string, string>>};
    readonly egress?: readonly {readonly hosts?: readonly string[]}[];
    readonly outboundTrafficPolicy?: {readonly mode?: string; readonly egressProxy?: {readonly host?: string}};
  };
}

export interface EnvoyFilter extends Named {
  readonly spec: {
    readonly priority?: number;
    readonly workloadSelector?: {readonly labels?: Readonly<Record<string, string>>};
    readonly targetRefs?: readonly Reference[];
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

/** A pod of a namespace where sidecars ask, as far as it can get around its own. */
export interface Pod extends Named {
  readonly hasProxy: boolean;
  readonly hostNetwork: boolean;
  /** Its own containers, without those that Istio has put beside them. */
  readonly containers: readonly {
    readonly name: string;
    /** Where the container or its pod says so; an image may say so too, and that is not seen. */
    readonly user: number | null;
    readonly group: number | null;
    /** NET_ADMIN, or privileged. */
    readonly mayRewire: boolean;
  }[];
  /** As whom its proxy runs: what that user or group sends is not redirected. */
  readonly proxyUser: number;
  readonly proxyGroup: number;
}

export interface Surroundings {
  readonly istiods: readonly Proxy[];
  /** Pods with a proxy. */
  readonly proxies: readonly Proxy[];
  /** Of the namespaces where sidecars ask. */
  readonly pods: readonly Pod[];
  /** Their labels, by name. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly virtualServices: readonly VirtualService[];
  readonly wasmPlugins: readonly WasmPlugin[];
  /** The values of Istio's injector, as JSON; null: they are not there. */
  readonly injection: string | null;
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

/** Whether pods of these namespaces (null: of any) see the service. Without exportTo, an empty one included, everybody does. */
export function isSeenIn(
  {metadata, spec}: ServiceEntry | VirtualService,
  namespaces: readonly string[] | null,
): boolean {
  const to = spec.exportTo ?? [];
  if (to.length === 0 || to.includes('*')) return true;
  const named = to.map((one) => (one === '.' ? metadata.namespace : one));
  return namespaces === null ? named.some((one) => one !== '~') : named.some((one) => namespaces.includes(one));
}
