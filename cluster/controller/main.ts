/** `sallyport controller`: one leader that keeps the CA, the trust bundles and the conditions. */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {startAdmin} from '../../runtime/admin.ts';
import {EXIT, SallyportError} from '../../runtime/errors.ts';
import {readFlagFile} from '../../runtime/flag-file.ts';
import {helpText} from '../../runtime/flags.ts';
import {createJsonJournal, createTextJournal, type Journal} from '../../runtime/journal.ts';
import {createMetrics, exposition} from '../../runtime/metrics.ts';
import {isOwnAddress} from '../../runtime/own-addresses.ts';
import {createLineWriter, type Out} from '../../runtime/output.ts';
import {connectionOf} from '../connection.ts';
import {standForLease} from '../lease.ts';
import {openAuthority} from './authority.ts';
import {CONTROLLER_FLAGS, controllerConfig} from './flags.ts';
import {keepStatus} from './status-keeper.ts';
import {bundleOf} from './trust.ts';
import {keepTrust} from './trust-keeper.ts';

/** Runs until SIGTERM or SIGINT; the result is the exit code. Throws SallyportError for what cannot start. */
export async function controller(argv: readonly string[], out: Out): Promise<number> {
  if (argv.includes('--help')) {
    out.stdout(helpText('controller', 'conditions, CA and trust bundles, by one leader', CONTROLLER_FLAGS));
    return EXIT.ok;
  }
  const settings = controllerConfig(argv, process.env, process.stdout.isTTY);
  const lines = createLineWriter(1, {
    lost: () => {},
    again: (count) => journal.notice('error', 'log.dropped', `${count} log lines were lost`),
  });
  const journal: Journal =
    settings.logFormat === 'json' ? createJsonJournal(lines) : createTextJournal(lines, process.stdout.isTTY);
  const config = connectionOf(settings.kubeconfig, process.env);
  const extra = settings.extraCaFiles.map((file) =>
    readFlagFile('--extra-ca', file, 'Name a PEM file that can be read.'),
  );
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-controller-'));
  const trouble = (message: string, retryMs: number): void =>
    journal.notice('warn', 'cluster.away', `the API server: ${message}; asked again in ${Math.round(retryMs)} ms`);

  const lead = async (signal: AbortSignal): Promise<void> => {
    journal.notice('info', 'controller.leading', `${settings.identity} leads`);
    const ca = await openAuthority({config, namespace: settings.namespace, secret: settings.caSecret, dir});
    if (signal.aborted) return;
    const trust = keepTrust({
      ...{config, configMap: settings.trustConfigMap, bundle: bundleOf([ca.rootPem], extra), onTrouble: trouble},
      onApplied: (namespace) => journal.notice('info', 'trust.applied', `the bundle is in namespace ${namespace}`),
      onFailed: (namespace, error, retryMs) =>
        journal.notice('error', 'trust.failed', `namespace ${namespace}: ${short(error)}; again in ${retryMs} ms`),
    });
    const status = keepStatus({
      ...{config, clusterDomain: settings.clusterDomain, onTrouble: trouble},
      onWritten: (object, {type, status: value, reason}) =>
        journal.notice('info', 'status.written', `${object}: ${type}=${value} ${reason}`),
      onFailed: (object, error, retryMs) =>
        journal.notice('error', 'status.failed', `${object}: ${short(error)}; again in ${retryMs} ms`),
    });
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    trust.stop();
    status.stop();
    journal.notice('info', 'controller.following', `${settings.identity} no longer leads`);
  };
  let leading = false;
  const lease = standForLease({
    ...{config, namespace: settings.namespace, name: 'sallyport-controller', identity: settings.identity},
    onLeading: (signal) => {
      leading = true;
      signal.addEventListener('abort', () => (leading = false));
      void leadUntilItWorks(signal);
    },
    onTrouble: (message) => journal.notice('warn', 'lease.failed', message),
  });
  /** What fails at its start (the API server went away just then) is tried again for as long as we lead. */
  async function leadUntilItWorks(signal: AbortSignal): Promise<void> {
    while (!signal.aborted)
      try {
        return await lead(signal);
      } catch (error) {
        journal.notice('error', 'controller.failed', `${short(error)}; again in ${RETRY_MS} ms`);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
  }
  const metrics = createMetrics();
  const admin = await startAdmin(settings.admin, {
    isLocal: isOwnAddress,
    // One that follows is as ready as one that leads: it would take over.
    readiness: () => ({ready: true, leading}),
    metrics: async () => exposition([await metrics.registry.getMetricsAsJSON()]),
  });
  journal.notice('info', 'controller.running', `${settings.identity} stands for election`);
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
  await lease.stop();
  admin.close();
  admin.closeAllConnections();
  rmSync(dir, {recursive: true, force: true});
  lines.flush();
  return EXIT.ok;
}

const RETRY_MS = 2_000;

const short = (error: unknown): string =>
  error instanceof SallyportError
    ? error.describe()
    : String((error as Error).message)
        .split('\n')[0]!
        .slice(0, 300);
