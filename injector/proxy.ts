/** The proxy variables of a pod: which proxy, and what goes around it. */
import {ANNOTATIONS, PORTS} from '../runtime/names.ts';
import {appendOptions, setFirst, setOnce, setPair, valueOf} from './environment.ts';
import {noProxy} from './no-proxy.ts';
import type {Container, Namespace, Pod} from './pod.ts';
import {namedProxy, noProxyEntries, wrongProxyUrl, type Installation, type ProxyChoice} from './settings.ts';

/** What the variables say. */
export interface ProxyEnvironment {
  readonly httpProxy: string;
  readonly httpsProxy: string;
  readonly noProxy: string;
  /** Whether the URLs name the node's address by a variable that has to be there first. */
  readonly onNode: boolean;
  readonly allProxy: boolean;
}

/** The variable that the kubelet fills with the node's address. */
const NODE_ADDRESS = 'SALLYPORT_NODE_IP';

/** The pod's annotation, else its namespace's, else the installation's; our own port on the node where nobody says anything. */
export function proxyEnvironment(
  pod: Pod,
  namespace: Namespace,
  installation: Installation,
): {readonly kind: 'done'; readonly value: ProxyEnvironment} | {readonly kind: 'bad'; readonly message: string} {
  const {annotations = {}} = pod.metadata;
  const settings = installation.namespaces.get(namespace.name);
  const written = annotations[ANNOTATIONS.upstreamProxy] ?? namespace.annotations[ANNOTATIONS.upstreamProxy];
  const choice =
    (written === undefined ? null : annotated(written)) ??
    settings?.proxy ??
    installation.proxy.proxy ??
    ({kind: 'node'} satisfies ProxyChoice);

  const urls = urlsOf(choice, installation);
  if (urls.kind === 'bad') return urls;
  const further = [
    ...installation.proxy.noProxy,
    ...(settings?.noProxy ?? []),
    ...noProxyEntries(namespace.annotations[ANNOTATIONS.noProxy] ?? ''),
    ...noProxyEntries(annotations[ANNOTATIONS.noProxy] ?? ''),
  ];
  return {
    kind: 'done',
    value: {
      ...urls.value,
      noProxy: noProxy(installation, urls.except, further),
      onNode: choice.kind === 'node',
      allProxy: annotations[ANNOTATIONS.allProxy] === 'true',
    },
  };
}

function annotated(written: string): ProxyChoice {
  return written.includes('://') ? {kind: 'urls', httpProxy: written, httpsProxy: written} : namedProxy(written);
}

type Urls =
  | {
      readonly kind: 'done';
      readonly value: {readonly httpProxy: string; readonly httpsProxy: string};
      readonly except: readonly string[];
    }
  | {readonly kind: 'bad'; readonly message: string};

function urlsOf(choice: ProxyChoice, installation: Installation): Urls {
  switch (choice.kind) {
    case 'node': {
      const address = `$(${NODE_ADDRESS})`;
      const url = `http://${installation.cluster.ipFamily === 'IPv6' ? `[${address}]` : address}:${PORTS.explicit}`;
      return {kind: 'done', value: {httpProxy: url, httpsProxy: url}, except: []};
    }
    case 'urls': {
      const wrong = wrongProxyUrl(choice.httpProxy) ?? wrongProxyUrl(choice.httpsProxy);
      if (wrong !== null) return {kind: 'bad', message: `${ANNOTATIONS.upstreamProxy}: ${wrong}.`};
      return {kind: 'done', value: choice, except: []};
    }
    case 'upstream-proxy': {
      const proxy = installation.upstreamProxies.get(choice.name);
      if (proxy === undefined)
        return {
          kind: 'bad',
          message: `there is no UpstreamProxy ${JSON.stringify(choice.name)}: apply one, or write ${ANNOTATIONS.upstreamProxy}: Node.`,
        };
      const {tls, host, port} = proxy.endpoints[0]!;
      const url = `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
      return {kind: 'done', value: {httpProxy: url, httpsProxy: url}, except: proxy.except};
    }
  }
}

/** Sets the variables of one container. What cannot be set is added to `warnings`. */
export function setProxy(container: Container, environment: ProxyEnvironment, warnings: string[]): void {
  if (environment.onNode) setFirst(container, NODE_ADDRESS, {fieldRef: {apiVersion: 'v1', fieldPath: 'status.hostIP'}});
  setPair(container, 'HTTP_PROXY', environment.httpProxy);
  setPair(container, 'HTTPS_PROXY', environment.httpsProxy);
  setPair(container, 'NO_PROXY', environment.noProxy);
  if (environment.allProxy) setPair(container, 'ALL_PROXY', environment.httpProxy);
  // Node's own fetch and http read the variables only where they are told to (since 24).
  setOnce(container, 'NODE_USE_ENV_PROXY', '1');
  if (!javaGroups(container).every((group) => appendOptions(container, 'JAVA_TOOL_OPTIONS', group)))
    warnings.push(
      `container ${container.name}: JAVA_TOOL_OPTIONS comes from a reference, so the proxy cannot be appended to it`,
    );
}

/** The JVM reads no HTTP_PROXY: it has properties of its own (java.net, "Networking Properties"). They say what the variables say. */
function javaGroups(container: Container): string[][] {
  const groups: string[][] = [];
  for (const scheme of ['http', 'https'] as const) {
    const url = valueOf(container, `${scheme.toUpperCase()}_PROXY`);
    if (url !== null && url !== '') groups.push(proxyProperties(scheme, url));
  }
  const list = valueOf(container, 'NO_PROXY');
  if (groups.length > 0 && list !== null) groups.push([`-Dhttp.nonProxyHosts=${nonProxyHosts(list)}`]);
  return groups;
}

/** Names and literals, `*` for what a leading dot says; ranges cannot be said. */
function nonProxyHosts(list: string): string {
  const hosts = noProxyEntries(list)
    .filter((entry) => !entry.includes('/') && !entry.includes('::'))
    .map((entry) => (entry.startsWith('.') ? `*${entry}` : entry));
  return [...new Set([...hosts, '127.*', '[::1]'])].join('|');
}

function proxyProperties(scheme: 'http' | 'https', url: string): string[] {
  // Not `new URL`: the host may be a variable that the kubelet expands.
  const authority = url.slice(url.indexOf('://') + 3).replace(/\/.*$/, '');
  const colon = authority.lastIndexOf(':');
  const hasPort = colon > authority.lastIndexOf(']');
  const host = hasPort ? authority.slice(0, colon) : authority;
  const port = hasPort ? authority.slice(colon + 1) : url.startsWith('https:') ? '443' : '80';
  return [`-D${scheme}.proxyHost=${host}`, `-D${scheme}.proxyPort=${port}`];
}
