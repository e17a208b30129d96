/** What a leader does for trust: the CA, the bundles, the nodes' intermediates, the certificates of our own services. */
import type {KubeConfig} from '@kubernetes/client-node';
import {validityOf, type Validity} from '../../runtime/certificate-times.ts';
import {readFlagFile} from '../../runtime/flag-file.ts';
import type {Journal} from '../../runtime/journal.ts';
import {TRUST_KEYS} from '../../runtime/names.ts';
import {parseCertificates} from '../../runtime/pem.ts';
import {watchPaths} from '../../runtime/watch.ts';
import {watchServedSecret} from './issuer/served-secret.ts';
import {openAuthority, type Authority} from './authority.ts';
import type {TrustConfig} from './flags.ts';
import {signNodeRequests} from './node-signer.ts';
import {rootOf, trustedRoots, type Roots} from './rotation.ts';
import {keepServing} from './serving.ts';
import {bundleOf} from './trust.ts';
import {keepTrust, type TrustKeeper} from './trust-keeper.ts';
import {trustWebhooks} from './webhook-trust.ts';
import {short} from './short.ts';

export interface LeadTrustOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  readonly clusterDomain: string;
  readonly trust: TrustConfig;
  readonly journal: Journal;
  readonly onTrouble: (message: string, retryMs: number) => void;
  /** The Secret of the issuer's certificate: by its `ca.crt` agents know it. null: there is no issuer. */
  readonly issuerSecret: string | null;
  /** Until when what signs may: told at the start and with each change; null: we do not lead any more. */
  readonly onSigning?: (use: 'root' | 'services-root', validity: Validity | null) => void;
}

interface Running {
  stop(): void;
}

/** How often our own certificates and caBundles are looked at: somebody may have written them. */
const SERVING_LOOK_MS = 10_000;

/** Runs until stopped. Rejects where it cannot begin (the API server went away; SallyportError for a CA that is none). */
export async function leadTrust(options: LeadTrustOptions): Promise<Running> {
  const started: Running[] = [];
  const stop = (): void => {
    for (const one of started) one.stop();
  };
  try {
    started.push(await leadDataplane(options));
    if (options.trust.serving !== null) started.push(await leadServing(options, options.trust.serving));
  } catch (error) {
    stop();
    throw error;
  }
  return {stop};
}

/** The root that pods trust: in bundles, and what it signs. */
async function leadDataplane(options: LeadTrustOptions): Promise<Running> {
  const {config, namespace, trust, journal, onTrouble} = options;
  const say = sayTrouble(journal);
  let extra = readExtraCa(trust);
  let issuerCa: string | null = null;
  const bundle = () =>
    bundleOf({roots: trustedRoots(authority.roots), extra, publicRoots: trust.publicRoots}, issuerCa);
  let keeper: TrustKeeper | null = null;
  const authority: Authority = await openAuthority({
    ...{config, namespace, secret: trust.caSecret, purpose: 'root', timing: trust.timing},
    onChanged: (roots) => {
      tellSigning(options, 'root', roots);
      keeper?.replace(bundle());
    },
    onRotation: (message) => journal.notice('info', 'trust.rotation', `${trust.caSecret}: ${message}`),
    onTrouble: (error) => say('trust.failed', `the Secret ${trust.caSecret}: ${short(error)}; the last state stays`),
  });
  const bundles = (keeper = keepTrust({
    ...{config, namespace, configMap: trust.configMap, bundle: bundle(), onTrouble},
    onApplied: (where) => journal.notice('info', 'trust.applied', `the bundle is in namespace ${where}`),
    onRemoved: (where) => journal.notice('info', 'trust.removed', `nothing needs the bundle in namespace ${where}`),
    onFailed: (where, error, retryMs) =>
      journal.notice('error', 'trust.failed', `namespace ${where}: ${short(error)}; again in ${retryMs} ms`),
    onEverywhere: (written) => tellPublished(authority, (rootPem) => written.data[TRUST_KEYS.ca]!.includes(rootPem)),
  }));
  const signer = signNodeRequests({
    ...{config, agents: trust.agents, lifeMs: trust.timing.childLifeMs, onTrouble},
    signing: () => authority.signing(),
    onSigned: (name, node, notAfterMs) =>
      journal.notice('info', 'node-ca.signed', `${name}: node ${node}, until ${new Date(notAfterMs).toISOString()}`),
    onDenied: (name, {reason, message}) => journal.notice('warn', 'node-ca.denied', `${name}: ${reason}: ${message}`),
    onFailed: (name, error, retryMs) =>
      journal.notice('error', 'node-ca.failed', `${name}: ${short(error)}; again in ${retryMs} ms`),
  });
  const issuer =
    options.issuerSecret === null
      ? null
      : watchServedSecret({
          ...{config, namespace, secret: options.issuerSecret},
          onChanged: ({ca}) => {
            if (ca === issuerCa) return;
            issuerCa = ca;
            bundles.replace(bundle());
          },
          onTrouble: (message) => say('trust.failed', `${message}; agents do not know the issuer until it is`),
        });
  const files = watchPaths(trust.extraCaFiles, () => {
    try {
      extra = readExtraCa(trust);
      bundles.replace(bundle());
      journal.notice('info', 'trust.extra-ca', 'the bundle has the --extra-ca files as they are now');
    } catch (error) {
      journal.notice('error', 'trust.failed', `${short(error)} The last good ones stay in the bundle.`);
    }
  });
  return {
    stop() {
      files.close();
      issuer?.stop();
      signer.stop();
      bundles.stop();
      authority.stop();
      options.onSigning?.('root', null);
    },
  };
}

/** The root that the API server trusts: in caBundles, and our services' certificates. */
async function leadServing(options: LeadTrustOptions, serving: NonNullable<TrustConfig['serving']>): Promise<Running> {
  const {config, namespace, clusterDomain, journal} = options;
  const say = sayTrouble(journal);
  const {caSecret: secret, timing, services} = serving;
  let changed: () => void = () => undefined;
  const authority = await openAuthority({
    ...{config, namespace, secret, purpose: 'services root', timing},
    onChanged: (roots) => {
      tellSigning(options, 'services-root', roots);
      changed();
    },
    onRotation: (message) => journal.notice('info', 'serving.rotation', `${secret}: ${message}`),
    onTrouble: (error) => say('serving.failed', `the Secret ${secret}: ${short(error)}; the last state stays`),
  });
  let stopped = false;
  let running = false;
  let again = false;
  const round = async (roots: Roots): Promise<void> => {
    const webhooks = {config, namespace, services: services.map(({service}) => service)};
    // Believed first, and only then shown.
    for (const written of await trustWebhooks(trustedRoots(roots), {...webhooks, names: serving.webhookConfigurations}))
      journal.notice('info', 'serving.trusted', `the API server believes our certificates: ${written}`);
    for (const one of services)
      if (
        await keepServing(one, roots, authority.signing(), {
          config,
          namespace,
          clusterDomain,
          lifeMs: timing.childLifeMs,
        })
      )
        journal.notice('info', 'serving.written', `the Secret ${one.secret} has the certificate of ${one.service}`);
    if (!stopped) tellPublished(authority, (rootPem) => trustedRoots(roots).includes(rootPem));
  };
  const look = (): void => {
    again = true;
    if (running || stopped) return;
    running = true;
    void (async () => {
      while (again && !stopped) {
        again = false;
        try {
          await round(authority.roots);
        } catch (error) {
          say('serving.failed', `${short(error)}; again in ${SERVING_LOOK_MS} ms`);
        }
      }
      running = false;
    })();
  };
  changed = look;
  look();
  const clock = setInterval(look, Math.min(SERVING_LOOK_MS, timing.childLifeMs / 10));
  return {
    stop() {
      stopped = true;
      clearInterval(clock);
      authority.stop();
      options.onSigning?.('services-root', null);
    },
  };
}

function tellSigning({onSigning}: LeadTrustOptions, use: 'root' | 'services-root', {signing}: Roots): void {
  onSigning?.(use, validityOf(signing.chainPem, `the ${use} that signs`));
}

/** The successor is wherever it has to be. */
function tellPublished(authority: Authority, isIn: (rootPem: string) => boolean): void {
  const {next} = authority.roots;
  if (next === null || next.publishedAtMs !== null) return;
  const rootPem = rootOf(next.pair);
  if (isIn(rootPem)) authority.published(rootPem);
}

/** Throws SallyportError `FileUnreadable` or `BadCertificate`. */
export function readExtraCa({extraCaFiles}: TrustConfig): string[] {
  return extraCaFiles.flatMap((file) => {
    const text = readFlagFile('--extra-ca', file, 'Name a PEM file that can be read.');
    return parseCertificates(text, `--extra-ca ${file}`).map((pem) => `${pem}\n`);
  });
}

/** The same trouble is said once until it is another. */
function sayTrouble(journal: Journal): (event: string, message: string) => void {
  let said = '';
  return (event, message) => {
    if (said === message) return;
    said = message;
    journal.notice('error', event, message);
  };
}
