/** `sallyport tproxy`: its flags, and what they mean once checked. */
import {availableParallelism} from 'node:os';
import type {Installation} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import {oneOf, parseFlags, wholeNumber, type FlagTable, type Settings} from '../runtime/flags.ts';
import {parseReaches} from './capture/reach.ts';
import {CNI_RESULTS} from './capture/cni-results.ts';
import {requireInterfaceName} from './capture/topology.ts';
import type {Reach} from './capture/config.ts';
import {INSTALLATION_FLAGS, installationOf} from '../runtime/installation.ts';
import {parseListen, parseResolver, type Listen} from '../runtime/listen.ts';
import {JOURNAL_LIMITS} from '../runtime/journal-limits.ts';
import {PORTS} from '../runtime/names.ts';
import {SOURCE_FLAGS, sourceOf, type SourceSettings} from '../sources/settings.ts';
import {MTLS_FLAGS, mtlsOf, type MtlsConfig} from './mtls/settings.ts';

export const TPROXY_FLAGS = {
  ...SOURCE_FLAGS,
  'node-name': {
    kind: 'text',
    value: 'NAME',
    help: "In a cluster: this node's name, whose pods are ours (spec.nodeName). Required there.",
  },
  'ca-dir': {kind: 'text', value: 'DIR', help: 'CA keys and certificates, made at first use. Default: ./sallyport-ca.'},
  'trust-dir': {
    kind: 'text',
    value: 'DIR',
    help: 'With --capture pod: where certificates (no keys) are put for the other containers.',
  },
  'upstream-ca': {kind: 'text', value: 'FILE', help: 'PEM roots trusted for upstreams, beside the public ones.'},
  filters: {kind: 'text', value: 'DIR', help: 'Script filters (.js, .mjs, .ts), watched.'},
  'filter-timeout': {kind: 'text', value: 'MS', help: 'What one filter call may take. Default: 250.'},
  listen: {kind: 'text', value: 'ADDR:PORT', help: `Where captured connections arrive. Default: *:${PORTS.captured}.`},
  explicit: {
    kind: 'text',
    value: 'ADDR:PORT',
    help: `The port for programs that were told (CONNECT). Default: 127.0.0.1:${PORTS.explicit}; * with --capture node.`,
  },
  admin: {kind: 'text', value: 'ADDR:PORT', help: `healthz, readyz, metrics. Default: 127.0.0.1:${PORTS.admin}.`},
  workers: {kind: 'text', value: 'N', help: 'Worker processes. Default: one a core.'},
  capture: {
    kind: 'text',
    value: 'none|node|pod',
    help: 'Who is captured by nftables: nobody, every workload that is held here, or the pod that we run in (sallyport pod-rules). Default: none.',
  },
  posture: {
    kind: 'text',
    value: 'annotated|selected|all',
    help: 'In a cluster, which pods are captured: those that ask for it; these and every one that a policy selects; or every one. Default: selected.',
  },
  'exempt-namespace': {
    kind: 'list',
    value: 'NAME',
    help: 'In a cluster: namespaces whose pods are never captured. Default: kube-system, kube-node-lease, sallyport.',
  },
  'pod-interface': {
    kind: 'list',
    value: 'NAME',
    help: 'With --posture all: pod interfaces (cali*), locked before their pod is known. Beside the addresses that the Node object names.',
  },
  'mesh-destination': {
    kind: 'list',
    value: 'CIDR[:PORT]',
    help: 'With --posture all: where pods with a sidecar may go over TCP. Default: --pod-cidr and --service-cidr.',
  },
  'state-dir': {
    kind: 'text',
    value: 'DIR',
    help: 'In a cluster: what must outlive the agent and a reboot (whose capture is latched). Default: ./sallyport-state.',
  },
  'cni-results': {
    kind: 'text',
    value: 'DIR',
    help: `In a cluster: what the CNI plugins said of each pod's interface. Default: ${CNI_RESULTS}.`,
  },
  intercept: {
    kind: 'text',
    value: 'tproxy|redirect',
    help: 'How connections are handed over; redirect where the kernel has no nft_tproxy, and inside a pod. Default: tproxy.',
  },
  resolver: {
    kind: 'text',
    value: 'ADDR[:PORT]',
    help: 'The DNS resolver for us and for locked pods. Default: the first of /etc/resolv.conf.',
  },
  ...INSTALLATION_FLAGS,
  ...MTLS_FLAGS,
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
  /** Certificates without keys, for the containers of our pod; null: nowhere. */
  readonly trustDir: string | null;
  readonly upstreamCaFile: string | null;
  readonly filtersDir: string | null;
  readonly filterTimeoutMs: number;
  readonly listen: Listen;
  readonly explicit: Listen;
  readonly admin: Listen;
  readonly workers: number;
  readonly capture: 'none' | 'node' | 'pod';
  readonly posture: Posture;
  readonly exemptNamespaces: readonly string[];
  readonly podInterfaces: readonly string[];
  readonly meshDestinations: readonly Reach[];
  /** null: nothing has to be remembered, since a file says who is captured. */
  readonly stateDir: string | null;
  /** null: entries of a file name their interfaces themselves. */
  readonly cniResultsDir: string | null;
  readonly intercept: 'tproxy' | 'redirect';
  readonly resolver: {readonly ip: string; readonly port: number} | null;
  readonly installation: Installation;
  /** null: pods speak to each other as they do. */
  readonly mtls: MtlsConfig | null;
  readonly logFormat: 'json' | 'text';
  readonly logLinesPerSecond: number;
  readonly drainDeadlineMs: number;
}

/**
 * Which of a node's pods are captured (docs/NODE.md). `annotated`: those that ask for it. `selected`: these and every one that a
 * policy selects. `all`: every one, and what is not known yet gets nothing out.
 */
export type Posture = (typeof POSTURES)[number];
const POSTURES = ['annotated', 'selected', 'all'] as const;

/** What a cluster needs to come up, and ourselves. */
const EXEMPT_NAMESPACES = ['kube-system', 'kube-node-lease', 'sallyport'];

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
  const capture = oneOf(settings.capture ?? 'none', ['none', 'node', 'pod'], at('capture'));
  const inPod = capture === 'pod';
  const listen = parseListen(settings.listen ?? `*:${PORTS.captured}`, at('listen'));
  const explicit = parseListen(
    settings.explicit ?? `${capture === 'node' ? '*' : '127.0.0.1'}:${PORTS.explicit}`,
    at('explicit'),
  );
  const admin = parseListen(settings.admin ?? `127.0.0.1:${PORTS.admin}`, at('admin'));
  return {
    source,
    nodeName: nodeNameOf(settings, source, at),
    caDir: settings['ca-dir'] ?? 'sallyport-ca',
    trustDir: trustDirOf(settings, inPod, at),
    upstreamCaFile: settings['upstream-ca'],
    filtersDir: settings.filters,
    filterTimeoutMs: wholeNumber(settings['filter-timeout'] ?? '250', 1, 60_000, at('filter-timeout')),
    listen,
    explicit,
    admin,
    workers:
      settings.workers === null
        ? inPod
          ? 1
          : availableParallelism()
        : wholeNumber(settings.workers, 1, MAX_WORKERS, at('workers')),
    capture,
    ...holdingOf(settings, source, at),
    // What leaves a process of the same machine meets no prerouting, and so no TPROXY.
    intercept: oneOf(
      settings.intercept ?? (inPod ? 'redirect' : 'tproxy'),
      inPod ? ['redirect'] : ['tproxy', 'redirect'],
      at('intercept'),
    ),
    resolver: settings.resolver === null ? null : parseResolver(settings.resolver, at('resolver')),
    installation: installationOf(settings, at, [listen.port, explicit.port, admin.port, PORTS.mtls, PORTS.dns]),
    mtls: mtlsOf(settings, at, {
      capture,
      clusterDomain: settings['cluster-domain'] ?? 'cluster.local',
      files: source.kind === 'files',
    }),
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

function trustDirOf(settings: Raw, inPod: boolean, at: (name: keyof Raw) => string): string | null {
  const dir = settings['trust-dir'];
  if (dir === null || inPod) return dir;
  throw new SallyportError(
    'Usage',
    `${at('trust-dir')} without --capture pod`,
    'Leave --trust-dir out: the certificates are in --ca-dir.',
  );
}

type Holding = Pick<
  TproxyConfig,
  'posture' | 'exemptNamespaces' | 'podInterfaces' | 'meshDestinations' | 'stateDir' | 'cniResultsDir'
>;
const HOLDING_FLAGS = [
  ...(['posture', 'exempt-namespace', 'pod-interface', 'mesh-destination', 'state-dir', 'cni-results'] as const),
];

/** Who is held, where that is not a file's to say. */
function holdingOf(settings: Raw, source: SourceSettings, at: (name: keyof Raw) => string): Holding {
  if (source.kind === 'files') {
    for (const name of HOLDING_FLAGS)
      if (settings[name] !== null && settings[name].length > 0)
        throw new SallyportError(
          'Usage',
          `${at(name)} with --policy: every workload of the table is captured`,
          `Leave --${name} out; it is for pods of a cluster.`,
        );
    return {
      ...{posture: 'selected', exemptNamespaces: [], podInterfaces: [], meshDestinations: []},
      ...{stateDir: null, cniResultsDir: null},
    };
  }
  const posture = oneOf(settings.posture ?? 'selected', POSTURES, at('posture'));
  const interfaces = settings['pod-interface'];
  const named = settings['mesh-destination'];
  if (posture !== 'all')
    for (const name of ['pod-interface', 'mesh-destination'] as const)
      if (settings[name].length > 0)
        throw new SallyportError(
          'Usage',
          `${at(name)} with the posture ${posture}, which holds nobody before it is known, and no pod with a sidecar`,
          `Write --posture all, or leave --${name} out.`,
        );
  for (const pattern of interfaces) requireInterfaceName(pattern.replace(/\*$/, ''));
  const exempt = settings['exempt-namespace'];
  const mesh = [...settings['pod-cidr'], ...settings['service-cidr']].map((cidr) => ({cidr, port: null}));
  return {
    posture,
    exemptNamespaces: exempt.length > 0 ? exempt : EXEMPT_NAMESPACES,
    podInterfaces: interfaces,
    meshDestinations: posture !== 'all' ? [] : named.length > 0 ? parseReaches(named, at('mesh-destination')) : mesh,
    stateDir: settings['state-dir'] ?? 'sallyport-state',
    cniResultsDir: settings['cni-results'] ?? CNI_RESULTS,
  };
}
