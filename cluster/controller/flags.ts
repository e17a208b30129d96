/** `sallyport controller`: its flags. */
import {hostname} from 'node:os';
import {oneOf, parseFlags, type FlagTable} from '../../runtime/flags.ts';
import {parseListen, type Listen} from '../../runtime/listen.ts';
import {PORTS} from '../../runtime/names.ts';

export const CONTROLLER_FLAGS = {
  kubeconfig: {kind: 'text', value: 'FILE', help: "The API server. Default: the pod's own service account."},
  namespace: {
    kind: 'text',
    value: 'NAME',
    help: 'Our own namespace: the CA and the lease are there. Default: sallyport.',
  },
  identity: {kind: 'text', value: 'NAME', help: "Who stands for election. Default: the machine's (the pod's) name."},
  'ca-secret': {
    kind: 'text',
    value: 'NAME',
    help: 'The Secret that holds the CA, made at first use. Default: sallyport-ca.',
  },
  'trust-configmap': {
    kind: 'text',
    value: 'NAME',
    help: 'The ConfigMap with the trust bundle, in every namespace that needs it. Default: sallyport-trust.',
  },
  'extra-ca': {kind: 'list', value: 'FILE', help: "Further roots for the bundle, PEM: a company's own."},
  'cluster-domain': {kind: 'text', value: 'DOMAIN', help: 'Default: cluster.local.'},
  admin: {kind: 'text', value: 'ADDR:PORT', help: `healthz, readyz, metrics. Default: 127.0.0.1:${PORTS.admin}.`},
  'log-format': {kind: 'text', value: 'json|text', help: 'Default: text on a terminal, else json.'},
  config: {kind: 'text', value: 'FILE', help: 'A YAML file of these settings.'},
} as const satisfies FlagTable;

export interface ControllerConfig {
  readonly kubeconfig: string | null;
  readonly namespace: string;
  readonly identity: string;
  readonly caSecret: string;
  readonly trustConfigMap: string;
  readonly extraCaFiles: readonly string[];
  readonly clusterDomain: string;
  readonly admin: Listen;
  readonly logFormat: 'json' | 'text';
}

/** Throws SallyportError `Usage`. */
export function controllerConfig(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  isTerminal: boolean,
): ControllerConfig {
  const {settings, origin} = parseFlags('controller', CONTROLLER_FLAGS, {argv, env, configFlag: 'config'});
  return {
    kubeconfig: settings.kubeconfig,
    namespace: settings.namespace ?? 'sallyport',
    identity: settings.identity ?? hostname(),
    caSecret: settings['ca-secret'] ?? 'sallyport-ca',
    trustConfigMap: settings['trust-configmap'] ?? 'sallyport-trust',
    extraCaFiles: settings['extra-ca'],
    clusterDomain: settings['cluster-domain'] ?? 'cluster.local',
    admin: parseListen(settings.admin ?? `127.0.0.1:${PORTS.admin}`, origin('admin')),
    logFormat: oneOf(settings['log-format'] ?? (isTerminal ? 'text' : 'json'), ['json', 'text'], origin('log-format')),
  };
}
