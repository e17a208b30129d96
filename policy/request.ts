/** The values a decision is made of. Plain data: whoever has a connection or a CheckRequest translates it to these. */

/** A pod (or a named client) as the workload table knows it. */
export interface Workload {
  readonly namespace: string;
  /** null: not known (yet), as with the pod's own. */
  readonly namespaceLabels: Readonly<Record<string, string>> | null;
  readonly name: string;
  readonly uid: string;
  /** null: not known, so a selector that looks at labels cannot be evaluated (such a policy contributes its Deny rules only). */
  readonly labels: Readonly<Record<string, string>> | null;
  readonly serviceAccount: string;
  readonly node: string | null;
  /** Whether its programs trust our CA, so that a refusal inside TLS can be read and Audit may intercept. */
  readonly trustsCa: boolean;
}

/** An IP address as canonical text: IPv4 dotted quad, IPv6 by RFC 5952, without zone and brackets. */
export type Address = string;

export interface Endpoint {
  readonly ip: Address;
  readonly port: number;
}

/** Where the client wants to go, before any name is looked up. */
export interface Destination {
  /** The original destination of captured traffic; null on the explicit port. */
  readonly ip: Address | null;
  readonly port: number;
  /** The host of CONNECT or of an absolute-form target on the explicit port, as written; null on captured traffic. */
  readonly host: string | null;
}

/** What a ClientHello says. */
export interface TlsHello {
  /** server_name, as written; null where there is none. */
  readonly sni: string | null;
  readonly alpn: readonly string[];
  /** An encrypted_client_hello extension was there, GREASE or not. */
  readonly ech: boolean;
}

/** Header lines in order: name, value, name, value ... Names keep the letter case that they came in. Values are Latin-1 text. */
export type HeaderLines = readonly string[];

/** One HTTP request as it was received. */
export interface HttpRequest {
  readonly version: '1.0' | '1.1' | '2';
  readonly method: string;
  /** The scheme that the request itself claims: of an absolute-form target, or `:scheme`; null in origin-form. */
  readonly scheme: string | null;
  /** host[:port] of an absolute-form target, or `:authority`, as written; null where there is none. */
  readonly authority: string | null;
  /** The Host header as written; null where there is none. More than one is malformed before it gets here. */
  readonly host: string | null;
  /** The path as it came, escapes and all, without the query. `*` for asterisk-form; '' for authority-form (CONNECT). */
  readonly path: string;
  /** What follows the first `?`, as it came; null where there is no `?`. */
  readonly query: string | null;
  /** Upgrade tokens or `:protocol`, lower-case, as one list; empty where no upgrade is asked for. */
  readonly upgrade: readonly string[];
  readonly headers: HeaderLines;
  /** Lines of one name may have been joined by commas on the way (Envoy without raw headers): then the pieces are readings too. */
  readonly linesJoined?: true;
}

/** How much of a connection has been seen. */
export type Traffic =
  /** Nothing has been read yet. */
  | {readonly kind: 'unread'}
  /** A ClientHello: until it is decrypted the connection is https and tls at once. */
  | {readonly kind: 'tls'; readonly tls: TlsHello}
  /** A request inside TLS that we decrypted. */
  | {readonly kind: 'https'; readonly tls: TlsHello; readonly http: HttpRequest}
  /** A request in the clear. */
  | {readonly kind: 'http'; readonly http: HttpRequest}
  /** Bytes of no protocol we know, or a client that waits for the server to speak. */
  | {readonly kind: 'opaque'};

/** One question put to the policy. */
export interface EgressRequest {
  /** The id that the decision will carry; see newDecisionId in runtime/ids.ts. */
  readonly id: string;
  readonly arrived: 'captured' | 'explicit' | 'mesh';
  readonly workload: Workload | 'unknown';
  readonly source: Endpoint;
  readonly destination: Destination;
  /** The authority of the CONNECT that opened this tunnel; null outside of one. */
  readonly connectAuthority: {readonly host: string; readonly port: number} | null;
  /** In the mesh, where what asks dials the address that the answer names: names need not have the address that was dialled. */
  readonly dialsAnswer?: true;
  /** Whether TLS can be decrypted here: always by tproxy; not in a mesh that passes TLS through. */
  readonly canInspect: boolean;
  readonly traffic: Traffic;
}
