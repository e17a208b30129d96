/** `sallyport tproxy`: its flags, and what they mean once checked. */
import {availableParallelism} from 'node:os';
import {isIP} from 'node:net';
import {parseCidr, type Installation} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import {parseFlags, type FlagTable, type Settings} from '../runtime/flags.ts';
import {JOURNAL_LIMITS} from '../runtime/journal-limits.ts';
import {PORTS} from '../runtime/names.ts';
import {ownCidrs} from './own-addresses.ts';

export const TPROXY_FLAGS = {
  policy: {kind: 'list', value: 'PATH', help: 'Policy files or directories (.yaml, .yml, .json), watched. Required.'},
  workloads: {kind: 'text', value: 'FILE', help: 'The workload table, YAML, watched.'},
  refs: {
    kind: 'text',
    value: 'DIR',
    help: 'What secretRef and configMapRef find: secrets|configmaps/NAMESPACE/NAME/KEY.',
  },
  'ca-dir': {kind: 'text', value: 'DIR', help: 'CA keys and certificates, made at first use. Default: ./sallyport-ca.'},
  'upstream-ca': {kind: 'text', value: 'FILE', help: 'PEM roots trusted for upstreams, beside the public ones.'},
  filters: {kind: 'text', value: 'DIR', help: 'Script filters (.js, .mjs, .ts), watched.'},
  'filter-timeout': {kind: 'text', value: 'MS', help: 'What one filter call may take. Default: 250.'},
  listen: {kind: 'text', value: 'ADDR:PORT', help: `Where captured connections arrive. Default: *:${PORTS.captured}.`},
  explicit: {
    kind: 'text',
    value: 'ADDR:PORT',
    help: `The port for programs that were told (CONNECT). Default: *:${PORTS.explicit}; 127.0.0.1 with --capture none.`,
  },
  admin: {kind: 'text', value: 'ADDR:PORT', help: `healthz, readyz, metrics. Default: 127.0.0.1:${PORTS.admin}.`},
  workers: {kind: 'text', value: 'N', help: 'Worker processes. Default: one a core.'},
  capture: {
    kind: 'text',
    value: 'none|node',
    help: 'Who is captured by nftables: nobody, or every workload of the table. Default: none.',
  },
  intercept: {
    kind: 'text',
    value: 'tproxy|redirect',
    help: 'How connections are handed over; redirect where the kernel has no nft_tproxy. Default: tproxy.',
  },
  resolver: {
    kind: 'text',
    value: 'ADDR[:PORT]',
    help: 'The DNS resolver for us and for locked pods. Default: the first of /etc/resolv.conf.',
  },
  search: {kind: 'list', value: 'DOMAIN', help: 'Search list for names with fewer than two dots.'},
  'cluster-domain': {kind: 'text', value: 'DOMAIN', help: 'Default: cluster.local.'},
  'service-cidr': {kind: 'list', value: 'CIDR', help: "The cluster's Service addresses."},
  'pod-cidr': {kind: 'list', value: 'CIDR', help: "The cluster's pod addresses."},
  'node-cidr': {kind: 'list', value: 'CIDR', help: "The nodes' own addresses."},
  'nat64-prefix': {kind: 'list', value: 'CIDR', help: 'NAT64 prefixes beside 64:ff9b::/96.'},
  'default-action': {kind: 'text', value: 'Deny|Allow', help: 'For workloads that no policy selects. Default: Deny.'},
  'log-format': {kind: 'text', value: 'json|text', help: 'Default: text on a terminal, else json.'},
  'log-lines': {
    kind: 'text',
    value: 'N',
    help: 'Log lines a second of one workload; more are counted and summed up. 0: no limit. Default: 2000.',
  },
  'drain-deadline': {kind: 'text', value: 'SECONDS', help: 'How long SIGTERM lets requests finish. Default: 25.'},
  config: {kind: 'text', value: 'FILE', help: 'A YAML file of these settings.'},
} as const satisfies FlagTable;

/** A listening address; `ip` null is every address of both families. */
export interface Listen {
  readonly ip: string | null;
  readonly port: number;
}

export interface TproxyConfig {
  readonly policyPaths: readonly string[];
  readonly workloadsFile: string | null;
  readonly refsDir: string | null;
  readonly caDir: string;
  readonly upstreamCaFile: string | null;
  readonly filtersDir: string | null;
  readonly filterTimeoutMs: number;
  readonly listen: Listen;
  readonly explicit: Listen;
  readonly admin: Listen;
  readonly workers: number;
  readonly capture: 'none' | 'node';
  readonly intercept: 'tproxy' | 'redirect';
  readonly resolver: {readonly ip: string; readonly port: number} | null;
  readonly installation: Installation;
  readonly logFormat: 'json' | 'text';
  readonly logLinesPerSecond: number;
  readonly drainDeadlineMs: number;
}

type Raw = Settings<typeof TPROXY_FLAGS>;

/** Below the 30 s that Kubernetes gives a pod by default, so that we end by ourselves. */
const DEFAULT_DRAIN_SECONDS = 25;
/** A worker is a process of about 80 MB: more than this is a typing error. */
const MAX_WORKERS = 256;

/** Flags, environment and config file to a checked configuration. Throws SallyportError `Usage`. */
export function tproxySettings(argv: readonly string[], env: NodeJS.ProcessEnv, isTerminal: boolean): TproxyConfig {
  const {settings, origin} = parseFlags('tproxy', TPROXY_FLAGS, {argv, env, configFlag: 'config'});
  const at = (name: keyof Raw): string => origin(name);
  if (settings.policy.length === 0)
    throw new SallyportError(
      'Usage',
      'no --policy',
      'Name at least one file or directory of policies: --policy policies/.',
    );
  const capture = oneOf(settings.capture ?? 'none', ['none', 'node'], at('capture'));
  const listen = parseListen(settings.listen ?? `*:${PORTS.captured}`, at('listen'));
  const explicit = parseListen(
    settings.explicit ?? `${capture === 'none' ? '127.0.0.1' : '*'}:${PORTS.explicit}`,
    at('explicit'),
  );
  const admin = parseListen(settings.admin ?? `127.0.0.1:${PORTS.admin}`, at('admin'));
  const cidrs = (name: 'service-cidr' | 'pod-cidr' | 'node-cidr' | 'nat64-prefix'): readonly string[] => {
    for (const text of settings[name]) {
      const cidr = parseCidr(text);
      if (cidr === null)
        throw new SallyportError(
          'Usage',
          `${at(name)}: ${JSON.stringify(text)} is no CIDR`,
          'Write an address and a prefix: 10.96.0.0/12.',
        );
    }
    return settings[name];
  };
  return {
    policyPaths: settings.policy,
    workloadsFile: settings.workloads,
    refsDir: settings.refs,
    caDir: settings['ca-dir'] ?? 'sallyport-ca',
    upstreamCaFile: settings['upstream-ca'],
    filtersDir: settings.filters,
    filterTimeoutMs: wholeNumber(settings['filter-timeout'] ?? '250', 1, 60_000, at('filter-timeout')),
    listen,
    explicit,
    admin,
    workers:
      settings.workers === null ? availableParallelism() : wholeNumber(settings.workers, 1, MAX_WORKERS, at('workers')),
    capture,
    intercept: oneOf(settings.intercept ?? 'tproxy', ['tproxy', 'redirect'], at('intercept')),
    resolver: settings.resolver === null ? null : parseResolver(settings.resolver, at('resolver')),
    installation: {
      defaultAction: oneOf(settings['default-action'] ?? 'Deny', ['Deny', 'Allow'], at('default-action')),
      clusterDomain: (settings['cluster-domain'] ?? 'cluster.local').toLowerCase().replace(/^\.|\.$/g, ''),
      serviceCidrs: cidrs('service-cidr'),
      podCidrs: cidrs('pod-cidr'),
      nodeCidrs: [...cidrs('node-cidr'), ...ownCidrs()],
      nat64Prefixes: cidrs('nat64-prefix'),
      searchDomains: settings.search.map((domain) => domain.toLowerCase().replace(/^\.|\.$/g, '')),
      ownPorts: [...new Set([listen.port, explicit.port, admin.port, PORTS.mtls, PORTS.dns])],
    },
    logLinesPerSecond: wholeNumber(
      settings['log-lines'] ?? String(JOURNAL_LIMITS.linesPerSecond),
      0,
      1e9,
      at('log-lines'),
    ),
    logFormat: oneOf(settings['log-format'] ?? (isTerminal ? 'text' : 'json'), ['json', 'text'], at('log-format')),
    drainDeadlineMs:
      wholeNumber(settings['drain-deadline'] ?? String(DEFAULT_DRAIN_SECONDS), 0, 3600, at('drain-deadline')) * 1000,
  };
}

/** `127.0.0.1:8080`, `[::1]:8080`, `*:8080` or `:8080`. A wildcard of either family means both: a pod has both. */
export function parseListen(text: string, origin: string): Listen {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, '$1');
  const port = Number(text.slice(colon + 1));
  const wildcard = host === '' || host === '*' || host === '0.0.0.0' || host === '::';
  if (colon < 0 || !/^\d{1,5}$/.test(text.slice(colon + 1)) || port > 65535 || (!wildcard && isIP(host) === 0))
    throw new SallyportError(
      'Usage',
      `${origin}: ${JSON.stringify(text)} is no ADDR:PORT`,
      'Write 127.0.0.1:15081, [::1]:15081 or *:15081.',
    );
  return {ip: wildcard ? null : host, port};
}

function parseResolver(text: string, origin: string): {ip: string; port: number} {
  if (isIP(text) !== 0) return {ip: text, port: 53};
  const {ip, port} = parseListen(text, origin);
  if (ip === null || port === 0)
    throw new SallyportError(
      'Usage',
      `${origin}: ${JSON.stringify(text)} names no resolver`,
      'Write one address: 10.96.0.10 or 10.96.0.10:53.',
    );
  return {ip, port};
}

function oneOf<T extends string>(value: string, choices: readonly T[], origin: string): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined)
    throw new SallyportError('Usage', `${origin} is ${JSON.stringify(value)}`, `Write one of ${choices.join(', ')}.`);
  return found;
}

function wholeNumber(text: string, min: number, max: number, origin: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new SallyportError(
      'Usage',
      `${origin} is ${JSON.stringify(text)}`,
      `Write a whole number from ${min} to ${max}.`,
    );
  return value;
}
