/** `sallyport extauthz`: its flags, and what they mean once checked. */
import {availableParallelism} from 'node:os';
import type {Installation} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import {oneOf, parseFlags, wholeNumber, type FlagTable, type Settings} from '../runtime/flags.ts';
import {INSTALLATION_FLAGS, installationOf} from '../runtime/installation.ts';
import {JOURNAL_LIMITS} from '../runtime/journal-limits.ts';
import {parseListen, parseResolver, type Listen} from '../runtime/listen.ts';
import {PORTS} from '../runtime/names.ts';
import {tlsPaths, type TlsPaths} from '../runtime/tls-files.ts';
import {SOURCE_FLAGS, sourceOf, type SourceSettings} from '../sources/settings.ts';
import type {Dials} from './check/asker.ts';
import {readHops} from './identity/hops.ts';
import type {Place} from './server/listener.ts';

export const EXTAUTHZ_FLAGS = {
  ...SOURCE_FLAGS,
  filters: {
    kind: 'text',
    value: 'DIR',
    help: 'Script filters (.js, .mjs, .ts), watched. response(flow) cannot run here.',
  },
  'filter-timeout': {kind: 'text', value: 'MS', help: 'What one filter call may take. Default: 250.'},
  listen: {
    kind: 'text',
    value: 'ADDR:PORT|unix:PATH',
    help: `Where Envoy asks (gRPC ext_authz v3). Default: 127.0.0.1:${PORTS.extauthz}; *:${PORTS.extauthz} with --client-ca.`,
  },
  admin: {kind: 'text', value: 'ADDR:PORT', help: `healthz, readyz, metrics. Default: 127.0.0.1:${PORTS.admin}.`},
  'tls-cert': {kind: 'text', value: 'FILE', help: 'PEM certificate chain of the server, watched. Default: no TLS.'},
  'tls-key': {kind: 'text', value: 'FILE', help: 'Its key.'},
  'client-ca': {kind: 'text', value: 'FILE', help: 'PEM roots of client certificates: asked for, and required.'},
  hop: {
    kind: 'list',
    value: 'ID|CIDR',
    help: 'Proxies between a workload and the Envoy that asks: their x-forwarded-client-cert counts, their own address does not.',
  },
  dials: {
    kind: 'text',
    value: 'address|name',
    help: 'What an Envoy dials that does not say (sallyport-dials): the address that it tells us, or the name. Default: address.',
  },
  'parent-credentials': {
    kind: 'switch',
    help: 'Read the Secrets of UpstreamProxies, for Envoys that say sallyport-credentials: they send them, and pods never see them.',
  },
  sds: {
    kind: 'text',
    value: 'unix:PATH|ADDR:PORT',
    help: 'Where Envoy fetches certificates, minted by name (SDS). Default: nowhere.',
  },
  'sds-peer': {
    kind: 'list',
    value: 'ID',
    help: 'Who may fetch them over TCP: URI or DNS names of client certificates.',
  },
  'ca-dir': {
    kind: 'text',
    value: 'DIR',
    help: 'With --sds: CA keys and certificates; in a cluster from its controller, else made at first use. Default: ./sallyport-ca.',
  },
  'node-name': {
    kind: 'text',
    value: 'NAME',
    help: "With --sds in a cluster: this pod's node, for which the controller signs. Give it by SALLYPORT_NODE_NAME.",
  },
  workers: {kind: 'text', value: 'N|auto', help: 'Processes that answer; auto: one a core. Default: 1.'},
  resolver: {
    kind: 'text',
    value: 'ADDR[:PORT]',
    help: 'The DNS resolver. Default: those of /etc/resolv.conf.',
  },
  ...INSTALLATION_FLAGS,
  'log-format': {kind: 'text', value: 'json|text', help: 'Default: text on a terminal, else json.'},
  'log-lines': {
    kind: 'text',
    value: 'N',
    help: 'Log lines a second of one workload; more are counted and summed up. 0: no limit. Default: 2000.',
  },
  'drain-deadline': {kind: 'text', value: 'SECONDS', help: 'How long SIGTERM lets Checks finish. Default: 5.'},
  config: {kind: 'text', value: 'FILE', help: 'A YAML file of these settings.'},
} as const satisfies FlagTable;

export interface ExtauthzConfig {
  readonly source: SourceSettings;
  readonly filtersDir: string | null;
  readonly filterTimeoutMs: number;
  readonly listen: Place;
  readonly admin: Listen;
  readonly tls: TlsPaths | null;
  readonly hops: readonly string[];
  readonly dials: Dials;
  readonly parentCredentials: boolean;
  readonly sds: {
    readonly place: Place;
    readonly text: string;
    readonly peers: readonly string[];
    readonly caDir: string;
    readonly nodeName: string | null;
  } | null;
  readonly workers: number;
  readonly resolver: {readonly ip: string; readonly port: number} | null;
  readonly installation: Installation;
  readonly logFormat: 'json' | 'text';
  readonly logLinesPerSecond: number;
  readonly drainDeadlineMs: number;
}

type Raw = Settings<typeof EXTAUTHZ_FLAGS>;

/** A Check takes milliseconds; Envoy's own timeout is half a second. */
const DEFAULT_DRAIN_SECONDS = 5;
/** A worker is a process of about 80 MB: more than this is a typing error. */
const MAX_WORKERS = 256;
/** sockaddr_un holds 108 bytes with the terminating one. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Flags, environment and config file to a checked configuration. Throws SallyportError `Usage`. */
export function extauthzSettings(argv: readonly string[], env: NodeJS.ProcessEnv, isTerminal: boolean): ExtauthzConfig {
  const {settings, origin} = parseFlags('extauthz', EXTAUTHZ_FLAGS, {argv, env, configFlag: 'config'});
  const at = (name: keyof Raw): string => origin(name);
  // Whoever can ask learns what rules set, credentials among it: without client certificates only this machine may.
  const everywhere = settings['client-ca'] !== null;
  const listen = parsePlace(settings.listen ?? `${everywhere ? '*' : '127.0.0.1'}:${PORTS.extauthz}`, at('listen'));
  const admin = parseListen(settings.admin ?? `127.0.0.1:${PORTS.admin}`, at('admin'));
  const sds = settings.sds === null ? null : parsePlace(settings.sds, at('sds'));
  const workers =
    settings.workers === null
      ? 1
      : settings.workers === 'auto'
        ? availableParallelism()
        : wholeNumber(settings.workers, 1, MAX_WORKERS, at('workers'));
  for (const [name, place] of [
    ['listen', listen],
    ['sds', sds],
  ] as const)
    if (place?.kind === 'unix' && workers > 1)
      throw new SallyportError(
        'Usage',
        `${at('workers')} is ${workers}, and ${at(name)} is a unix socket, which one process serves`,
        `Write --workers 1, or give --${name} an ADDR:PORT.`,
      );
  readHops(settings.hop, at('hop'));
  const ports = [listen, sds].flatMap((place) => (place?.kind === 'tcp' ? [place.port] : []));
  return {
    source: sourceOf(settings, at, env),
    filtersDir: settings.filters,
    filterTimeoutMs: wholeNumber(settings['filter-timeout'] ?? '250', 1, 60_000, at('filter-timeout')),
    listen,
    admin,
    tls: tlsPaths(settings['tls-cert'], settings['tls-key'], settings['client-ca']),
    hops: settings.hop,
    dials: oneOf(settings.dials ?? 'address', ['address', 'name'], at('dials')),
    parentCredentials: settings['parent-credentials'],
    sds:
      sds === null
        ? null
        : {
            place: sds,
            text: settings.sds!,
            peers: settings['sds-peer'],
            caDir: settings['ca-dir'] ?? 'sallyport-ca',
            nodeName: settings['node-name'],
          },
    workers,
    resolver: settings.resolver === null ? null : parseResolver(settings.resolver, at('resolver')),
    installation: installationOf(settings, at, [...ports, admin.port, ...Object.values(PORTS)]),
    logFormat: oneOf(settings['log-format'] ?? (isTerminal ? 'text' : 'json'), ['json', 'text'], at('log-format')),
    logLinesPerSecond: wholeNumber(
      settings['log-lines'] ?? String(JOURNAL_LIMITS.linesPerSecond),
      0,
      1e9,
      at('log-lines'),
    ),
    drainDeadlineMs:
      wholeNumber(settings['drain-deadline'] ?? String(DEFAULT_DRAIN_SECONDS), 0, 3600, at('drain-deadline')) * 1000,
  };
}

/** `unix:PATH`, or as parseListen. */
export function parsePlace(text: string, origin: string): Place {
  if (!text.startsWith('unix:')) return {kind: 'tcp', ...parseListen(text, origin)};
  const path = text.slice('unix:'.length);
  if (path === '' || Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    throw new SallyportError(
      'Usage',
      `${origin}: ${JSON.stringify(text)} is no socket path of up to ${MAX_SOCKET_PATH_BYTES} bytes`,
      'Write unix:/run/sallyport/extauthz.sock.',
    );
  return {kind: 'unix', path};
}
