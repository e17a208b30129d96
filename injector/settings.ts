/** What the injector knows of its installation: the configuration file, once checked. */
import {PORTS} from '../runtime/names.ts';
import {VERSION} from '../runtime/version.ts';
import {parseCidr, readShaped, type Finding, type Trail, type UpstreamProxyDocument} from '../policy/index.ts';
import type {MtlsMode} from '../sources/mtls-words.ts';
import type {Mode} from './choice.ts';
import {INJECTOR_CONFIG, type RawInjectorConfig, type RawProxySettings} from './schema.ts';

/** Which proxy HTTP_PROXY names. */
export type ProxyChoice =
  | {readonly kind: 'urls'; readonly httpProxy: string; readonly httpsProxy: string}
  | {readonly kind: 'upstream-proxy'; readonly name: string}
  /** Our explicit port on the pod's own node. */
  | {readonly kind: 'node'};

export interface ProxySettings {
  /** null: not said here. */
  readonly proxy: ProxyChoice | null;
  /** Further NO_PROXY entries. */
  readonly noProxy: readonly string[];
}

export interface ClusterFacts {
  readonly domain: string;
  readonly serviceCidrs: readonly string[];
  readonly podCidrs: readonly string[];
  readonly nodeCidrs: readonly string[];
  readonly apiServers: readonly string[];
  readonly ipFamily: 'IPv4' | 'IPv6';
}

/** The guard's container (guard.ts). */
export interface GuardSettings {
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  readonly timeoutSeconds: number;
  readonly resources: {
    readonly requests: Readonly<Record<string, string>>;
    readonly limits: Readonly<Record<string, string>>;
  };
}

/** The containers of pods that capture themselves (pod-capture.ts). */
export interface PodCaptureSettings {
  readonly image: string;
  /** A ConfigMap of the pod's namespace. */
  readonly policies: string;
  readonly resources: GuardSettings['resources'];
  /** As the agents have it; `trustDomain` null: the cluster's domain. */
  readonly mtls: {readonly mode: MtlsMode; readonly cidrs: readonly string[]; readonly trustDomain: string | null};
}

export interface Installation {
  readonly namespace: string;
  readonly defaultMode: Mode;
  readonly proxy: ProxySettings;
  /** Of the proxy Node. */
  readonly explicitPort: number;
  readonly namespaces: ReadonlyMap<string, ProxySettings>;
  readonly cluster: ClusterFacts;
  readonly trust: {readonly configMap: string; readonly mountPath: string};
  readonly guard: GuardSettings;
  readonly podCapture: PodCaptureSettings;
  /** Whether the nodes' agents speak mTLS between pods: else who asks for it is refused. */
  readonly mtls: boolean;
  readonly skipContainers: ReadonlySet<string>;
  /** From the cluster, or from policy files where a pod is injected offline. */
  readonly upstreamProxies: ReadonlyMap<string, UpstreamProxyDocument>;
}

/** Reads the file; the value is null where there are findings. */
export function readInstallation(
  file: string,
  text: string,
  upstreamProxies: Installation['upstreamProxies'],
): {readonly value: Installation | null; readonly findings: readonly Finding[]} {
  return readShaped(INJECTOR_CONFIG, {file, text}, (raw, trail) => installationOf(raw, trail, upstreamProxies));
}

function installationOf(
  raw: RawInjectorConfig,
  trail: Trail,
  upstreamProxies: Installation['upstreamProxies'],
): Installation {
  const {cluster = {}, trust = {}, namespaces = {}, httpProxyEnvs} = raw;
  trail.within(raw, 'cluster', () => {
    for (const field of ['serviceCidrs', 'podCidrs', 'nodeCidrs'] as const) checkCidrs(cluster, field, trail);
  });
  trail.within(raw, 'trust', () => {
    const {mountPath} = trust;
    if (mountPath !== undefined && (!mountPath.startsWith('/') || mountPath.includes(':')))
      trail.within(trust, 'mountPath', () =>
        trail.error('BadValue', 'no absolute path', 'Write a path such as /etc/sallyport/trust.'),
      );
  });
  return {
    namespace: raw.namespace ?? 'sallyport',
    defaultMode: raw.defaultMode ?? 'proxy-env',
    proxy: trail.within(raw, 'httpProxyEnvs', () => proxySettings(httpProxyEnvs ?? {}, trail)),
    explicitPort: raw.explicitPort ?? PORTS.explicit,
    namespaces: trail.within(raw, 'namespaces', () => {
      const byName = new Map<string, ProxySettings>();
      for (const [name, settings] of Object.entries(namespaces)) {
        trail.enter(namespaces, name);
        byName.set(
          name,
          trail.within(settings, 'httpProxyEnvs', () => proxySettings(settings.httpProxyEnvs ?? {}, trail)),
        );
        trail.leave();
      }
      return byName;
    }),
    cluster: {
      domain: (cluster.domain ?? 'cluster.local').toLowerCase().replace(/^\.|\.$/g, ''),
      serviceCidrs: cluster.serviceCidrs ?? [],
      podCidrs: cluster.podCidrs ?? [],
      nodeCidrs: cluster.nodeCidrs ?? [],
      apiServers: cluster.apiServers ?? [],
      ipFamily: cluster.ipFamily ?? familyOf(cluster.nodeCidrs?.[0] ?? cluster.serviceCidrs?.[0] ?? ''),
    },
    trust: {
      configMap: trust.configMap ?? 'sallyport-trust',
      mountPath: (trust.mountPath ?? '/etc/sallyport/trust').replace(/\/+$/, ''),
    },
    guard: guardSettings(raw.guard ?? {}),
    podCapture: {
      image: raw.podCapture?.image ?? `sallyport-node:${VERSION}`,
      policies: raw.podCapture?.policies ?? 'sallyport-policies',
      resources: {
        requests: raw.podCapture?.resources?.requests ?? {cpu: '50m', memory: '192Mi'},
        limits: raw.podCapture?.resources?.limits ?? {memory: '512Mi'},
      },
      mtls: {
        mode: raw.podCapture?.mtls?.mode ?? 'Off',
        cidrs: raw.podCapture?.mtls?.cidrs ?? [],
        trustDomain: raw.podCapture?.mtls?.trustDomain ?? null,
      },
    },
    mtls: raw.mtls === 'Enabled',
    skipContainers: new Set(raw.skipContainers ?? ['istio-proxy', 'istio-init', 'istio-validation']),
    upstreamProxies,
  };
}

function guardSettings({
  image,
  imagePullPolicy,
  timeoutSeconds,
  resources,
}: NonNullable<RawInjectorConfig['guard']>): GuardSettings {
  return {
    image: image ?? `sallyport:${VERSION}`,
    imagePullPolicy: imagePullPolicy ?? 'IfNotPresent',
    timeoutSeconds: timeoutSeconds ?? 60,
    resources: {
      requests: resources?.requests ?? {cpu: '10m', memory: '64Mi'},
      // Without a limit of processor time: it would only make the pod start later.
      limits: resources?.limits ?? {memory: '128Mi'},
    },
  };
}

/** A node's own address, its first, is of the family of the first Service range. */
function familyOf(cidr: string): ClusterFacts['ipFamily'] {
  return parseCidr(cidr)?.base.family === 6 ? 'IPv6' : 'IPv4';
}

function checkCidrs(
  cluster: NonNullable<RawInjectorConfig['cluster']>,
  field: 'serviceCidrs' | 'podCidrs' | 'nodeCidrs',
  trail: Trail,
): void {
  const list = cluster[field] ?? [];
  trail.enter(cluster, field);
  list.forEach((cidr, i) => {
    if (parseCidr(cidr) === null)
      trail.within(list, i, () => trail.error('BadValue', `${JSON.stringify(cidr)} is no CIDR`, 'Write 10.96.0.0/12.'));
  });
  trail.leave();
}

/** Checks one `httpProxyEnvs`; what is wrong is reported where it stands. */
function proxySettings(raw: RawProxySettings, trail: Trail): ProxySettings {
  const {httpProxy, httpsProxy, upstreamProxy} = raw;
  for (const field of ['httpProxy', 'httpsProxy'] as const) {
    const url = raw[field];
    if (url === undefined || url === '') continue;
    const wrong = wrongProxyUrl(url);
    if (wrong !== null) trail.within(raw, field, () => trail.error('BadValue', wrong, 'Write http://HOST:PORT.'));
  }
  if (upstreamProxy !== undefined && (httpProxy ?? httpsProxy ?? '') !== '')
    trail.within(raw, 'upstreamProxy', () =>
      trail.error('Contradiction', 'upstreamProxy and a URL are both there', 'Keep one of the two.'),
    );
  return {proxy: choiceOf(raw), noProxy: noProxyEntries(raw.noProxy ?? '')};
}

function choiceOf({httpProxy = '', httpsProxy = '', upstreamProxy}: RawProxySettings): ProxyChoice | null {
  if (upstreamProxy !== undefined) return namedProxy(upstreamProxy);
  if (httpProxy === '' && httpsProxy === '') return null;
  return {kind: 'urls', httpProxy: httpProxy || httpsProxy, httpsProxy: httpsProxy || httpProxy};
}

/** `Node`, or an UpstreamProxy's name. */
export function namedProxy(name: string): ProxyChoice {
  return name === 'Node' ? {kind: 'node'} : {kind: 'upstream-proxy', name};
}

/** Why a text cannot be the value of HTTP_PROXY; null: it can. Credentials would be readable by everybody who may read pods. */
export function wrongProxyUrl(text: string): string | null {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return 'this is no URL';
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return `a proxy speaks http or https, not ${url.protocol}`;
  if (url.username !== '' || url.password !== '')
    return 'credentials would stand in every pod: name an UpstreamProxy and let pods use Node';
  return null;
}

/** The entries of a comma-separated list; spaces around them are no part of them. */
export function noProxyEntries(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}
