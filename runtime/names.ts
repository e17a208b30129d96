/** Names that leave the process (DESIGN §7): each once, here. */

/** The API group and version of every document. */
export const API_VERSION = 'sallyport.dev/v1alpha1';

/** Default ports of our listeners. */
export const PORTS = {
  /** Captured connections (TPROXY or REDIRECT). */
  captured: 15080,
  /** Programs that were told: CONNECT and absolute-form. */
  explicit: 15081,
  /** Pod-to-pod mTLS. */
  mtls: 15082,
  /** DNS answers. */
  dns: 15083,
  /** healthz, readyz, metrics. */
  admin: 15084,
  /** The admission webhook. */
  injector: 8443,
  /** gRPC ext_authz, for Envoy. */
  extauthz: 9000,
  /** The controller's issuer of workloads' identities. */
  issuer: 15085,
} as const;

/** The firewall mark of packets that TPROXY took: they are routed to our listeners. */
export const TPROXY_MARK = 0x5a110000;
/** The bits of the mark that are ours; the others are left as they are. */
export const TPROXY_MARK_MASK = 0xffff0000;
/** The routing table that holds `local default dev lo`. */
export const TPROXY_ROUTE_TABLE = 15080;

/**
 * Labels of pods and namespaces, which a webhook's objectSelector can see; pods may write them as annotations where the
 * namespace is labelled `injection`.
 */
export const LABELS = {
  /** "true" or "false": whether the webhook touches the pod. */
  inject: 'sallyport.dev/inject',
  /** tproxy, proxy-env or mesh. */
  mode: 'sallyport.dev/mode',
  /** node or pod: where a tproxy pod's traffic is captured. */
  capture: 'sallyport.dev/capture',
  /** Strict, Permissive or Off: whether a pod speaks mTLS with the others that do. */
  mtls: 'sallyport.dev/mtls',
  /** On namespaces: "enabled" lets annotations count and the namespace's own labels be its pods' defaults. */
  injection: 'sallyport.dev/injection',
} as const;

export const ANNOTATIONS = {
  /** Further NO_PROXY entries, separated by commas. */
  noProxy: 'sallyport.dev/no-proxy',
  /** The proxy that HTTP_PROXY names: an UpstreamProxy, `Node` for our own port on the pod's node, or a URL. */
  upstreamProxy: 'sallyport.dev/upstream-proxy',
  /** "true" sets ALL_PROXY too. */
  allProxy: 'sallyport.dev/all-proxy',
  /** Containers that are left alone, separated by commas. */
  skipContainers: 'sallyport.dev/skip-containers',
  /** "true" mounts the trust bundle over the distributions' own files too. */
  systemTrust: 'sallyport.dev/system-trust',
  /** "true" says that the pod's programs trust our CA by other means, "false" that they must not be made to. */
  trustsCa: 'sallyport.dev/trusts-ca',
  /** Inbound ports that are left plain where it speaks mTLS, separated by commas: probes and scrapes from elsewhere. */
  mtlsPlainPorts: 'sallyport.dev/mtls-plain-ports',
  /** Written by the webhook: what it did. */
  status: 'sallyport.dev/status',
  /** The tutorial's annotation: `mode: tproxy`. */
  tutorial: 'initializer.kubernetes.io/tproxy',
} as const;

/** On a Node: nobody there holds pods yet. The agent takes it away. */
export const NOT_READY_TAINT = 'sallyport.dev/agent-not-ready';

/**
 * The keys of the trust ConfigMap: the CA alone; with a company's own roots, for what adds them to its own list; with the public
 * ones too; and the same as PKCS#12.
 */
export const TRUST_KEYS = {ca: 'ca.crt', added: 'added.crt', bundle: 'bundle.crt', pkcs12: 'truststore.p12'} as const;

/** Beside them, and no trust of programs: by what agents know the issuer of identities. */
export const ISSUER_CA_KEY = 'issuer-ca.crt';

/** Whom a ServiceAccount's token is for with which an identity is asked for: one that was stolen elsewhere is of no use here. */
export const IDENTITY_AUDIENCE = 'sallyport.dev/mtls';

/**
 * Where a captured pod proves that it is captured (docs/GUARD.md): documentation addresses (RFC 5737, RFC 3849), which
 * nobody on a network may have, so that only our capture answers there. Any port does. The name can never be resolved
 * (RFC 6761 §6.4), and no leaf for it is made for anything else.
 */
export const PROOF = {
  ip4: '192.0.2.151',
  ip6: '2001:db8:5a11::151',
  port: 443,
  name: 'guard.sallyport.invalid',
} as const;

/** The user of the proxy that runs inside a pod (`capture: pod`): its rules let nobody else out, so nobody else may be it. */
export const POD_PROXY_UID = 15080;

/**
 * mTLS inside a pod (docs/adr/0027). `ports`: where its rules lead what comes in, first and last; several, since two connections of
 * one peer's port towards two of the pod's must stay two. `here`: what the proxy dials to reach the pod's programs, an address of
 * nobody's (RFC 1122 §3.2.1.3; RFC 3849) that the rules make the pod's own, so that conntrack keeps this connection and the one
 * from the wire apart.
 */
export const POD_MTLS = {
  ports: {first: 15100, last: 15115},
  here: {ip4: '127.15.8.2', ip6: '2001:db8:5a11::152'},
} as const;
