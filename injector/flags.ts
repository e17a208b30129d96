/** `sallyport injector`: its flags. What it knows of the installation is in its own file (settings.ts). */
import {oneOf, parseFlags, wholeNumber, type FlagTable} from '../runtime/flags.ts';
import {SallyportError} from '../runtime/errors.ts';
import {parseListen, type Listen} from '../runtime/listen.ts';
import {PORTS} from '../runtime/names.ts';
import {tlsPaths, type TlsPaths} from '../runtime/tls-files.ts';

export const INJECTOR_FLAGS = {
  config: {kind: 'text', value: 'FILE', help: "The injector's configuration, watched. Default: its defaults."},
  listen: {kind: 'text', value: 'ADDR:PORT', help: `Where the API server asks. Default: *:${PORTS.injector}.`},
  'tls-cert': {kind: 'text', value: 'FILE', help: 'PEM certificate chain of the server, watched. Required.'},
  'tls-key': {kind: 'text', value: 'FILE', help: 'Its key. Required.'},
  admin: {kind: 'text', value: 'ADDR:PORT', help: `healthz, readyz, metrics. Default: 127.0.0.1:${PORTS.admin}.`},
  kubeconfig: {kind: 'text', value: 'FILE', help: "The API server to watch. Default: the pod's own service account."},
  'drain-deadline': {
    kind: 'text',
    value: 'SECONDS',
    help: 'How long SIGTERM goes on answering, until nobody asks here any more. Default: 5.',
  },
  'log-format': {kind: 'text', value: 'json|text', help: 'Default: text on a terminal, else json.'},
} as const satisfies FlagTable;

export interface InjectorConfig {
  readonly configFile: string | null;
  readonly listen: Listen;
  readonly tls: TlsPaths;
  readonly admin: Listen;
  readonly kubeconfig: string | null;
  readonly drainDeadlineMs: number;
  readonly logFormat: 'json' | 'text';
}

/** That a Service's endpoints change takes the cluster a second or two. */
const DEFAULT_DRAIN_SECONDS = 5;

/** Throws SallyportError `Usage`. */
export function injectorConfig(argv: readonly string[], env: NodeJS.ProcessEnv, isTerminal: boolean): InjectorConfig {
  const {settings, origin} = parseFlags('injector', INJECTOR_FLAGS, {argv, env});
  const tls = tlsPaths(settings['tls-cert'], settings['tls-key'], null);
  if (tls === null)
    throw new SallyportError(
      'Usage',
      'no --tls-cert and --tls-key',
      'Name the certificate that the webhook configuration trusts: the API server speaks TLS only.',
    );
  return {
    configFile: settings.config,
    listen: parseListen(settings.listen ?? `*:${PORTS.injector}`, origin('listen')),
    tls,
    admin: parseListen(settings.admin ?? `127.0.0.1:${PORTS.admin}`, origin('admin')),
    kubeconfig: settings.kubeconfig,
    drainDeadlineMs:
      wholeNumber(settings['drain-deadline'] ?? String(DEFAULT_DRAIN_SECONDS), 0, 3600, origin('drain-deadline')) *
      1000,
    logFormat: oneOf(settings['log-format'] ?? (isTerminal ? 'text' : 'json'), ['json', 'text'], origin('log-format')),
  };
}
