/** `sallyport tproxy`: its flags, and what they mean once checked. */
import {availableParallelism} from 'node:os';
import type {Installation} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import {oneOf, parseFlags, wholeNumber, type FlagTable, type Settings} from '../runtime/flags.ts';
import {INSTALLATION_FLAGS, installationOf} from '../runtime/installation.ts';
import {parseListen, parseResolver, type Listen} from '../runtime/listen.ts';
import {JOURNAL_LIMITS} from '../runtime/journal-limits.ts';
import {PORTS} from '../runtime/names.ts';
import {SOURCE_FLAGS, sourceOf, type SourceSettings} from '../sources/settings.ts';

export const TPROXY_FLAGS = {
  ...SOURCE_FLAGS,
  'node-name': {
    kind: 'text',
    value: 'NAME',
    help: "In a cluster: this node's name, whose pods are ours (spec.nodeName). Required there.",
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
  ...INSTALLATION_FLAGS,
  'log-format': {kind: 'text', value: 'json|text', help: 'Default: text on a terminal, else json.'},
  'log-lines': {
    kind: 'text',
    value: 'N',
    help: 'Log lines a second of one workload; more are counted and summed up. 0: no limit. Default: 2000.',
  },
  'drain-deadline': {kind: 'text', value: 'SECONDS', help: 'How long SIGTERM lets requests finish. Default: 25.'},
  config: {kind: 'text', value: 'FILE', help: 'A YAML file of these settings.'},
} as const satisfies FlagTable;

export interface TproxyConfig {
  readonly source: SourceSettings;
  /** null where policies and workloads are files. */
  readonly nodeName: string | null;
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
  const source = sourceOf(settings, at, env);
  const capture = oneOf(settings.capture ?? 'none', ['none', 'node'], at('capture'));
  const listen = parseListen(settings.listen ?? `*:${PORTS.captured}`, at('listen'));
  const explicit = parseListen(
    settings.explicit ?? `${capture === 'none' ? '127.0.0.1' : '*'}:${PORTS.explicit}`,
    at('explicit'),
  );
  const admin = parseListen(settings.admin ?? `127.0.0.1:${PORTS.admin}`, at('admin'));
  return {
    source,
    nodeName: nodeNameOf(settings, source, at),
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
    installation: installationOf(settings, at, [listen.port, explicit.port, admin.port, PORTS.mtls, PORTS.dns]),
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

/** Of whom the pods are has to be said: a node's kernel knows names that the API server does not. */
function nodeNameOf(settings: Raw, source: SourceSettings, at: (name: keyof Raw) => string): string | null {
  const name = settings['node-name'];
  switch (source.kind) {
    case 'files':
      if (name === null) return null;
      throw new SallyportError(
        'Usage',
        `${at('node-name')} with --policy: the table of --workloads is this node's already`,
        'Leave --node-name out.',
      );
    case 'cluster':
      if (name !== null) return name;
      throw new SallyportError(
        'Usage',
        'no --node-name: which of the cluster’s pods are here is not known',
        'Give --node-name NAME as "kubectl get nodes" shows it, or SALLYPORT_NODE_NAME from the field spec.nodeName.',
      );
  }
}
