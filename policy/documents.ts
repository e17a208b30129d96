/** The documents of `sallyport.dev/v1alpha1` after validation: what loading produces and compiling consumes. */
import type {DenialResponse, Mutations} from './decision.ts';

/** Where a value stood, for messages: 1-based line and column. `file` is a path, or an object's name in a cluster. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export type Scheme = 'https' | 'http' | 'tls' | 'tcp';

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

export interface LabelSelector {
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly matchExpressions: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values: readonly string[];
  }[];
}

export interface RuleDocument {
  readonly name: string;
  readonly action: 'Allow' | 'Deny';
  readonly to: {
    /** Lower-case punycode without trailing dot: `a.b`, `*.a.b` or `*`. */
    readonly hosts: readonly string[];
    readonly cidrs: readonly string[];
    /** null: not written (https for Allow, all for Deny). */
    readonly schemes: readonly Scheme[] | null;
    /** null: not written (the schemes' defaults for Allow, all for Deny). */
    readonly ports: readonly PortRange[] | null;
  };
  readonly http: {
    readonly methods: readonly string[] | null;
    readonly paths: readonly string[] | null;
    /** Lower-case names; null: must be absent. */
    readonly headers: Readonly<Record<string, string | null>>;
    readonly query: Readonly<Record<string, string | null>>;
  } | null;
  readonly when: string | null;
  readonly request: Mutations;
  readonly response: Mutations;
  /** An UpstreamProxy's name, or `Direct`; null: by the proxies' hosts. */
  readonly via: string | null;
  readonly at: Position;
}

export interface PolicyDocument {
  readonly kind: 'EgressPolicy' | 'ClusterEgressPolicy';
  readonly name: string;
  /** null for a ClusterEgressPolicy. */
  readonly namespace: string | null;
  /** Selects everything for an EgressPolicy (its namespace is compared instead). */
  readonly namespaceSelector: LabelSelector;
  readonly podSelector: LabelSelector;
  /** `name` in an EgressPolicy, `namespace/name` in a cluster policy; empty: any. */
  readonly serviceAccounts: readonly string[];
  readonly mode: 'Enforce' | 'Audit';
  readonly rules: readonly RuleDocument[];
  /** null: 403 with the default plain text. Headers hold content-type. `body` null: the default text under this status and these headers. */
  readonly deny: (Omit<DenialResponse, 'body'> & {readonly body: string | null}) | null;
  readonly at: Position;
}

/** What a `secretRef`/`configMapRef` names; its value is found by the dataplane, never by policy/. */
export interface Ref {
  readonly kind: 'secret' | 'configMap';
  readonly namespace: string;
  readonly name: string;
  /** null: the well-known keys of the use (username and password). */
  readonly key: string | null;
}

export interface UpstreamProxyDocument {
  readonly kind: 'UpstreamProxy';
  readonly name: string;
  readonly endpoints: readonly {readonly tls: boolean; readonly host: string; readonly port: number}[];
  readonly auth: Ref | null;
  readonly caBundle: Ref | null;
  readonly hosts: readonly string[];
  readonly except: readonly string[];
  readonly resolve: 'Both' | 'Local' | 'Proxy';
  readonly at: Position;
}

export type Document = PolicyDocument | UpstreamProxyDocument;

/** Where the mesh asks about what the pods of a scope send. */
export type Enforcement =
  | {
      readonly at: 'Sidecar';
      /** null: every namespace. */
      readonly namespace: string | null;
      /** Empty: every pod. */
      readonly labels: Readonly<Record<string, string>>;
    }
  | {readonly at: 'EgressGateway'; readonly namespace: string; readonly labels: Readonly<Record<string, string>>}
  | {
      readonly at: 'Waypoint';
      readonly namespace: string;
      readonly labels: Readonly<Record<string, never>>;
      readonly hosts: readonly string[];
    };

export interface EgressGatewayIntent {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly port: number;
  /** null: TLS is carried unread. */
  readonly inspect: {
    readonly hosts: readonly string[];
    readonly except: readonly string[];
    readonly port: number;
    /** A file in the gateway's pod. */
    readonly trust: string;
  } | null;
}

/** What an Istio mesh is to be told. No decision looks at it. */
export interface MeshEgressDocument {
  readonly kind: 'MeshEgress';
  readonly name: string;
  readonly istio: {
    readonly version: '1.29' | '1.30' | '1.31';
    readonly revision: string;
    readonly rootNamespace: string;
    readonly trustDomain: string;
  };
  readonly outboundTrafficPolicy: 'RegistryOnly' | 'AllowAny';
  readonly extauthz: {
    readonly name: string;
    readonly namespace: string;
    readonly port: number;
    readonly timeoutMs: number;
    /** The SPIFFE ID or DNS name of its certificate; null: it is asked in the clear. */
    readonly identity: string | null;
  };
  readonly enforcement: readonly Enforcement[];
  readonly egressGateway: EgressGatewayIntent;
  readonly proxies: readonly {
    readonly name: string;
    /** Canonical; null: those that the endpoints are written with. */
    readonly addresses: readonly string[] | null;
    /** null: every namespace. */
    readonly namespaces: readonly string[] | null;
    /** A file in the sidecar: the roots by which endpoints that speak TLS are verified. */
    readonly trust: string;
  }[];
  /** UpstreamProxies that the mesh itself sends through. */
  readonly chain: readonly {
    readonly name: string;
    /** Canonical; null: Envoy looks the endpoints' names up. */
    readonly addresses: readonly string[] | null;
    /** A file in the proxy's container; null: nothing was said. */
    readonly trust: string | null;
  }[];
  readonly at: Position;
}

/** Something to say about a document. `fix` is what to write instead. */
export interface Finding {
  readonly severity: 'error' | 'warning';
  /** Stable, CamelCase: UnknownField, ShadowedRule, ... */
  readonly code: string;
  readonly message: string;
  readonly fix: string;
  readonly at: Position;
  /** `EgressPolicy default/web`, `UpstreamProxy corp`; null where the document could not be told. */
  readonly object: string | null;
  /** `spec.rules[0].to.hosts[1]`; '' for the whole document. */
  readonly path: string;
}

/** Facts of the installation that policies are read against; from flags, not from policies. */
export interface Installation {
  readonly defaultAction: 'Deny' | 'Allow';
  /** `cluster.local`: lower-case, no dots at the ends. */
  readonly clusterDomain: string;
  readonly serviceCidrs: readonly string[];
  readonly podCidrs: readonly string[];
  readonly nodeCidrs: readonly string[];
  /** Beside 64:ff9b::/96 and 64:ff9b:1::/48. */
  readonly nat64Prefixes: readonly string[];
  /** The resolver's search list, in order, for names with fewer than two dots. */
  readonly searchDomains: readonly string[];
  /** Our own listeners' ports: never reachable on a node's own address. */
  readonly ownPorts: readonly number[];
}
