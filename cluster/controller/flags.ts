/** `sallyport controller`: its flags. */
import {hostname} from 'node:os';
import {parseDuration} from '../../runtime/duration.ts';
import {SallyportError} from '../../runtime/errors.ts';
import {oneOf, parseFlags, type FlagTable, type Settings} from '../../runtime/flags.ts';
import {parseListen, type Listen} from '../../runtime/listen.ts';
import {PORTS} from '../../runtime/names.ts';
import {isTrustDomain} from '../../pki/index.ts';
import {checkLives} from './issuer/authority.ts';
import type {IssuerConfig} from './issuer/run.ts';
import type {RotationTiming} from './rotation.ts';
import type {Serving} from './serving.ts';

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
  'extra-ca': {kind: 'list', value: 'FILE', help: "Further roots for the bundle, PEM, watched: a company's own."},
  'public-roots': {
    kind: 'text',
    value: 'bundled|system|none',
    help: "Public roots of the bundle: Mozilla's as Node carries them, this image's, or none. Default: bundled.",
  },
  'root-life': {kind: 'text', value: 'TIME', help: 'Of roots that we make. Default: 3650d.'},
  'root-renew-before': {
    kind: 'text',
    value: 'TIME',
    help: "Before a root's end, when its successor is made. Default: 365d.",
  },
  'root-publish': {
    kind: 'text',
    value: 'TIME',
    help: 'How long the successor is in every bundle before it signs. Default: 90d.',
  },
  'node-agent': {
    kind: 'list',
    value: 'NAMESPACE/NAME',
    help: 'Service accounts of agents, which get intermediates for their nodes. Default: OUR-NAMESPACE/sallyport-node.',
  },
  'node-ca-life': {kind: 'text', value: 'TIME', help: "Of a node's intermediate. Default: 7d."},
  'serving-certificates': {
    kind: 'text',
    value: 'own|external',
    help: "Who makes our services' certificates and caBundle: we, or cert-manager or you. Default: own.",
  },
  serving: {
    kind: 'list',
    value: 'SERVICE=SECRET',
    help: 'Services of ours, and where their certificates are kept. Default: sallyport-injector=sallyport-injector-tls.',
  },
  'serving-ca-secret': {
    kind: 'text',
    value: 'NAME',
    help: 'The Secret of the CA of these certificates, made at first use. Default: sallyport-serving-ca.',
  },
  'serving-life': {kind: 'text', value: 'TIME', help: 'Of these certificates. Default: 90d.'},
  'serving-publish': {
    kind: 'text',
    value: 'TIME',
    help: 'How long a new CA of theirs is in every caBundle before it signs. Default: 1d.',
  },
  'webhook-configuration': {
    kind: 'list',
    value: 'NAME',
    help: 'Mutating and validating webhook configurations whose caBundle is kept. Default: sallyport.',
  },
  'cluster-domain': {kind: 'text', value: 'DOMAIN', help: 'Default: cluster.local.'},
  issuer: {
    kind: 'text',
    value: 'ADDR:PORT',
    help: `Where workloads' identities are issued (mTLS between pods): *:${PORTS.issuer}. Default: nowhere.`,
  },
  'trust-domain': {kind: 'text', value: 'DOMAIN', help: "Of these identities. Default: the cluster's domain."},
  'identity-life': {kind: 'text', value: 'TIME', help: 'Of an identity. Default: 12h.'},
  'identity-root-life': {kind: 'text', value: 'TIME', help: 'Of the roots above them that we make. Default: 365d.'},
  'identity-ca-secret': {
    kind: 'text',
    value: 'NAME',
    help: 'The Secret of the CA of workloads, made at first use. Default: sallyport-mtls-ca.',
  },
  'issuer-secret': {
    kind: 'text',
    value: 'NAME',
    help: "The Secret of the issuer's own certificate: tls.crt, tls.key, ca.crt. Default: sallyport-issuer-tls.",
  },
  admin: {kind: 'text', value: 'ADDR:PORT', help: `healthz, readyz, metrics. Default: 127.0.0.1:${PORTS.admin}.`},
  'log-format': {kind: 'text', value: 'json|text', help: 'Default: text on a terminal, else json.'},
  config: {kind: 'text', value: 'FILE', help: 'A YAML file of these settings.'},
} as const satisfies FlagTable;

export interface ControllerConfig {
  readonly kubeconfig: string | null;
  readonly namespace: string;
  readonly identity: string;
  readonly clusterDomain: string;
  readonly admin: Listen;
  readonly logFormat: 'json' | 'text';
  readonly trust: TrustConfig;
  /** null: no identities are issued. */
  readonly issuer: IssuerConfig | null;
}

/** What is to be known of keys, certificates and bundles. */
export interface TrustConfig {
  readonly caSecret: string;
  readonly timing: RotationTiming;
  readonly configMap: string;
  readonly extraCaFiles: readonly string[];
  readonly publicRoots: 'bundled' | 'system' | 'none';
  /** `system:serviceaccount:NAMESPACE:NAME`. */
  readonly agents: ReadonlySet<string>;
  /** null: others make them. */
  readonly serving: {
    readonly caSecret: string;
    readonly timing: RotationTiming;
    readonly services: readonly Serving[];
    readonly webhookConfigurations: readonly string[];
  } | null;
}

type Raw = Settings<typeof CONTROLLER_FLAGS>;
type Origin = (name: keyof Raw) => string;

/** Throws SallyportError `Usage`. */
export function controllerConfig(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  isTerminal: boolean,
): ControllerConfig {
  const {settings, origin} = parseFlags('controller', CONTROLLER_FLAGS, {argv, env, configFlag: 'config'});
  const namespace = settings.namespace ?? 'sallyport';
  return {
    kubeconfig: settings.kubeconfig,
    namespace,
    identity: settings.identity ?? hostname(),
    clusterDomain: settings['cluster-domain'] ?? 'cluster.local',
    admin: parseListen(settings.admin ?? `127.0.0.1:${PORTS.admin}`, origin('admin')),
    logFormat: oneOf(settings['log-format'] ?? (isTerminal ? 'text' : 'json'), ['json', 'text'], origin('log-format')),
    trust: trustConfig(settings, origin, namespace),
    issuer: issuerConfig(settings, origin),
  };
}

/** Hours: a copied key is soon worth nothing, and a controller that is away over night takes nobody's identity. */
const DEFAULT_IDENTITY_LIFE = '12h';
/** No program has these roots in a file: they travel with the identities, and may be replaced as often as anybody likes. */
const DEFAULT_IDENTITY_ROOT_LIFE = '365d';

function issuerConfig(settings: Raw, origin: Origin): IssuerConfig | null {
  if (settings.issuer === null) return null;
  const trustDomain = settings['trust-domain'] ?? settings['cluster-domain'] ?? 'cluster.local';
  if (!isTrustDomain(trustDomain))
    throw new SallyportError(
      'Usage',
      `${origin('trust-domain')} is ${JSON.stringify(trustDomain)}`,
      'Write a host name in lower case: cluster.local.',
    );
  const lifeMs = parseDuration(settings['identity-life'] ?? DEFAULT_IDENTITY_LIFE, origin('identity-life'));
  const rootLife = settings['identity-root-life'] ?? DEFAULT_IDENTITY_ROOT_LIFE;
  const rootLifeMs = parseDuration(rootLife, origin('identity-root-life'));
  checkLives(rootLifeMs, lifeMs, origin('identity-root-life'));
  return {
    ...{trustDomain, lifeMs, rootLifeMs},
    listen: parseListen(settings.issuer, origin('issuer')),
    caSecret: settings['identity-ca-secret'] ?? 'sallyport-mtls-ca',
    servedSecret: settings['issuer-secret'] ?? 'sallyport-issuer-tls',
  };
}

function trustConfig(settings: Raw, origin: Origin, namespace: string): TrustConfig {
  const time = (name: TimeFlag): number => parseDuration(settings[name] ?? DEFAULT_TIMES[name], origin(name));
  const rootLifeMs = time('root-life');
  const renewBeforeMs = time('root-renew-before');
  const timing = {rootLifeMs, renewBeforeMs, publishMs: time('root-publish'), childLifeMs: time('node-ca-life')};
  // Else a root would end before its successor signs, or one would be made as soon as the last one was.
  if (timing.publishMs >= renewBeforeMs || renewBeforeMs >= rootLifeMs)
    throw new SallyportError(
      'Usage',
      `${origin('root-publish')}, ${origin('root-renew-before')}, ${origin('root-life')}: each must be shorter than the next`,
      'Write, for example, --root-publish 90d --root-renew-before 365d --root-life 3650d.',
    );
  const servingTiming = {...timing, publishMs: time('serving-publish'), childLifeMs: time('serving-life')};
  if (servingTiming.publishMs >= renewBeforeMs)
    throw new SallyportError(
      'Usage',
      `${origin('serving-publish')} is not shorter than ${origin('root-renew-before')}`,
      'Leave --serving-publish out: a day.',
    );
  const agents = settings['node-agent'].length > 0 ? settings['node-agent'] : [`${namespace}/sallyport-node`];
  const who = oneOf(settings['serving-certificates'] ?? 'own', ['own', 'external'], origin('serving-certificates'));
  const services = settings.serving.length > 0 ? settings.serving : ['sallyport-injector=sallyport-injector-tls'];
  const configurations = settings['webhook-configuration'];
  return {
    caSecret: settings['ca-secret'] ?? 'sallyport-ca',
    timing,
    configMap: settings['trust-configmap'] ?? 'sallyport-trust',
    extraCaFiles: settings['extra-ca'],
    publicRoots: oneOf(settings['public-roots'] ?? 'bundled', ['bundled', 'system', 'none'], origin('public-roots')),
    agents: new Set(
      agents.map((text) => {
        const [of, name] = two(text, '/', origin('node-agent'), 'sallyport/sallyport-node');
        return `system:serviceaccount:${of}:${name}`;
      }),
    ),
    serving:
      who === 'external'
        ? null
        : {
            caSecret: settings['serving-ca-secret'] ?? 'sallyport-serving-ca',
            timing: servingTiming,
            services: services.map((text) => {
              const [service, secret] = two(text, '=', origin('serving'), 'sallyport-injector=sallyport-injector-tls');
              return {service, secret};
            }),
            webhookConfigurations: configurations.length > 0 ? configurations : ['sallyport'],
          },
  };
}

type TimeFlag = keyof typeof DEFAULT_TIMES;

/**
 * A root as long as trust stores are hard to change. Its successor is known for a season before it signs: programs that read
 * their roots at start have been started again by then. A node's intermediate so short that a copied key is soon worth nothing.
 */
const DEFAULT_TIMES = {
  'root-life': '3650d',
  'root-renew-before': '365d',
  'root-publish': '90d',
  'node-ca-life': '7d',
  'serving-life': '90d',
  'serving-publish': '1d',
} as const;

/** The two parts of NAME/NAME or NAME=NAME, as Kubernetes allows names. */
function two(text: string, between: string, origin: string, example: string): [string, string] {
  const parts = text.split(between);
  if (parts.length !== 2 || !parts.every((part) => /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(part)))
    throw new SallyportError('Usage', `${origin}: ${JSON.stringify(text)}`, `Write, for example, ${example}.`);
  return parts as [string, string];
}
