/** The proxy variables of a pod: which proxy, and what goes around it. */
import {ANNOTATIONS} from '../runtime/names.ts';
import {appendOptions, completePair, setFirst, setOnce, setPair, valueOf} from './environment.ts';
import {MAX_NO_PROXY_CHARACTERS, noProxy} from './no-proxy.ts';
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
  /** What the pod's author should know about this choice. */
  readonly warnings: readonly string[];
}

/** Beside these their lower-case twins. */
export const PROXY_VARIABLES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'] as const;

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
  const list = noProxy(installation, urls.except, further);
  if (list.length > MAX_NO_PROXY_CHARACTERS)
    return {
      kind: 'bad',
      message: `NO_PROXY would be ${list.length} characters long, and ${MAX_NO_PROXY_CHARACTERS} are the most: write fewer entries into ${ANNOTATIONS.noProxy}, or suffixes in place of names.`,
    };
  return {
    kind: 'done',
    value: {
      ...urls.value,
      noProxy: list,
      onNode: choice.kind === 'node',
      allProxy: annotations[ANNOTATIONS.allProxy] === 'true',
      warnings: urls.warnings,
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
      readonly warnings: readonly string[];
    }
  | {readonly kind: 'bad'; readonly message: string};

function urlsOf(choice: ProxyChoice, installation: Installation): Urls {
  switch (choice.kind) {
    case 'node': {
      const address = `$(${NODE_ADDRESS})`;
      const url = `http://${installation.cluster.ipFamily === 'IPv6' ? `[${address}]` : address}:${installation.explicitPort}`;
      return {kind: 'done', value: {httpProxy: url, httpsProxy: url}, except: [], warnings: []};
    }
    case 'urls': {
      const wrong = wrongProxyUrl(choice.httpProxy) ?? wrongProxyUrl(choice.httpsProxy);
      if (wrong !== null) return {kind: 'bad', message: `${ANNOTATIONS.upstreamProxy}: ${wrong}.`};
      return {kind: 'done', value: choice, except: [], warnings: []};
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
      return {
        kind: 'done',
        value: {httpProxy: url, httpsProxy: url},
        except: proxy.except,
        warnings:
          proxy.auth === null
            ? []
            : [
                `UpstreamProxy ${choice.name} wants credentials, and pods are given none: write ${ANNOTATIONS.upstreamProxy}: Node, whose proxy has them`,
              ],
      };
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
  else if (completePair(container, 'ALL_PROXY'))
    warnings.push(`container ${container.name}: most programs take HTTP_PROXY and HTTPS_PROXY before its ALL_PROXY`);
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

/** Of `[scheme://][user@]host[:port][/…]`, as programs take it. Not `new URL`: the host may be a variable that the kubelet expands. */
function proxyProperties(scheme: 'http' | 'https', url: string): string[] {
  const [, proxyScheme = 'http', rest] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?([^]*)$/i.exec(url)!;
  const authority = rest!.replace(/[/?#][^]*$/, '');
  // The credentials stay where their author put them: a JVM prints its options.
  const hostPort = authority.slice(authority.lastIndexOf('@') + 1);
  const colon = hostPort.lastIndexOf(':');
  const hasPort = colon > hostPort.lastIndexOf(']');
  const host = hasPort ? hostPort.slice(0, colon) : hostPort;
  const port = hasPort ? hostPort.slice(colon + 1) : proxyScheme.toLowerCase() === 'https' ? '443' : '80';
  return [`-D${scheme}.proxyHost=${host}`, `-D${scheme}.proxyPort=${port}`];
}
