/** A conformance case after reading: one small world and the steps tried in it. docs/CONFORMANCE.md describes the file. */
import type {Reason} from '../../../policy/index.ts';

/** Every target that a step may name; those that cannot run here yet are named by cases all the same. */
export const TARGET_NAMES = ['policy', 'tproxy', 'envoy', 'istio', 'istio-sidecar'] as const;
export type TargetName = (typeof TARGET_NAMES)[number];

export const SERVER_KINDS = [
  'https',
  'http',
  'echo',
  'banner',
  'tls-echo',
  'connect-proxy',
  'tls-connect-proxy',
] as const;
export type ServerKind = (typeof SERVER_KINDS)[number];

export const CERTIFICATES = ['valid', 'expired', 'wrong-name', 'untrusted', 'self-signed'] as const;
export type CertificateKind = (typeof CERTIFICATES)[number];

/** What kubectl would read: plain JSON, not checked here (that is the policy language's business). */
export type DocumentValue = Readonly<Record<string, unknown>>;

export interface WorkloadSpec {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly trustsCa: boolean;
}

export interface ServerSpec {
  readonly name: string;
  readonly ports: readonly {readonly port: number; readonly kind: ServerKind}[];
  /** Fixed addresses; null: one is allotted. */
  readonly addresses: readonly string[] | null;
  readonly certificate: CertificateKind;
  /** What a parent proxy asks for; null: nothing. */
  readonly auth: {readonly username: string; readonly password: string} | null;
}

/** `host:port`; an IPv6 host is without its brackets. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** A URL split without normalising anything: what is in the path is the point of many steps. */
export interface RequestUrl {
  readonly text: string;
  readonly scheme: 'https' | 'http';
  /** Without brackets; as written. */
  readonly host: string;
  readonly port: number;
  /** host[:port] as written in the URL: what a client writes into Host. */
  readonly authority: string;
  /** `/` where the URL has none. */
  readonly path: string;
  /** Without the question mark; null where there is none. */
  readonly query: string | null;
}

/** Header lines in the order of the case: name, values. */
export type HeaderList = readonly {readonly name: string; readonly values: readonly string[]}[];

export interface RequestAction {
  readonly kind: 'request';
  readonly method: string;
  readonly url: RequestUrl;
  readonly headers: HeaderList;
  readonly body:
    {readonly kind: 'text'; readonly text: string} | {readonly kind: 'bytes'; readonly bytes: number} | null;
  readonly http: '1.1' | '2';
  readonly host: string | null;
  /** null: the URL's; '': none is sent. */
  readonly sni: string | null;
  readonly connectTo: HostPort | null;
  readonly connection: string | null;
  readonly pathAsIs: boolean;
  readonly via: 'captured' | 'explicit';
}

export type RawPiece =
  {readonly kind: 'bytes'; readonly latin1: string} | {readonly kind: 'sleep'; readonly seconds: number};

export interface RawAction {
  readonly kind: 'raw';
  readonly to: HostPort;
  readonly tls: {readonly sni: string | null; readonly alpn: readonly string[]} | null;
  readonly send: readonly RawPiece[];
}

export interface PingAction {
  readonly kind: 'ping';
  readonly to: string;
}

export interface UdpAction {
  readonly kind: 'udp';
  readonly to: HostPort;
  readonly latin1: string;
}

export interface ApplyAction {
  readonly kind: 'apply';
  readonly documents: readonly DocumentValue[];
}

export type Action = RequestAction | RawAction | PingAction | UdpAction | ApplyAction;

export interface UpstreamExpectation {
  readonly method?: string;
  readonly path?: string;
  /** A text: the value (or several, joined with ", "); a list: one line each; null: absent. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | null>>;
}

/** What a step expects; a field that is absent is not checked. */
export interface Expectation {
  readonly verdict?: 'allow' | 'deny';
  readonly status?: number;
  readonly responses?: readonly number[];
  readonly refused?: boolean;
  readonly closed?: boolean;
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly body?: string;
  readonly reached?: string | null;
  readonly notReached?: string;
  readonly upstream?: UpstreamExpectation;
  readonly proxied?: string | null;
  readonly reason?: Reason;
  readonly rule?: string | null;
  readonly wouldDeny?: boolean | 'unknown';
  readonly loadError?: string;
}

export interface Step {
  readonly name: string;
  readonly workload: WorkloadSpec;
  /** null: every target that it makes sense for. */
  readonly targets: readonly TargetName[] | null;
  readonly action: Action;
  readonly expect: Expectation;
  readonly line: number;
}

export interface Case {
  readonly file: string;
  readonly name: string;
  readonly description: string;
  readonly documents: readonly DocumentValue[];
  readonly workloads: readonly WorkloadSpec[];
  /** Labels by namespace, only where they are written. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** By `namespace/name`, then by key. */
  readonly secrets: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly servers: readonly ServerSpec[];
  readonly steps: readonly Step[];
}

/** The labels of a namespace as a cluster has them: the API server always adds its name. */
export function namespaceLabels(world: Case, namespace: string): Record<string, string> {
  return {'kubernetes.io/metadata.name': namespace, ...world.namespaces.get(namespace)};
}
