/** `sallyport controller`: one leader that keeps the CA, the trust bundles and the conditions. */
import {startAdmin} from '../../runtime/admin.ts';
import {EXIT} from '../../runtime/errors.ts';
import {helpText} from '../../runtime/flags.ts';
import {createJsonJournal, createTextJournal, type Journal} from '../../runtime/journal.ts';
import {createMetrics, exposition} from '../../runtime/metrics.ts';
import {isOwnAddress} from '../../runtime/own-addresses.ts';
import {createLineWriter, type Out} from '../../runtime/output.ts';
import {connectionOf} from '../connection.ts';
import {standForLease} from '../lease.ts';
import {CONTROLLER_FLAGS, controllerConfig} from './flags.ts';
import {leadTrust, readExtraCa} from './lead-trust.ts';
import {runIssuer} from './issuer/run.ts';
import {keepMeshStatus, type MeshStatusOptions} from './mesh-status.ts';
import {keepStatus} from './status-keeper.ts';
import {short} from './short.ts';

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
  const metrics = createMetrics();
  const trouble = (message: string, retryMs: number): void =>
    journal.notice('warn', 'cluster.away', `the API server: ${message}; asked again in ${Math.round(retryMs)} ms`);

  // Bad at start is said at start, and not when it comes to lead.
  readExtraCa(settings.trust);

  const {namespace, clusterDomain} = settings;
  const status: MeshStatusOptions = {
    ...{config, onTrouble: trouble},
    onWritten: (object, {type, status: value, reason}) =>
      journal.notice('info', 'status.written', `${object}: ${type}=${value} ${reason}`),
    onFailed: (object, error, retryMs) =>
      journal.notice('error', 'status.failed', `${object}: ${short(error)}; again in ${retryMs} ms`),
  };
  /** Apart, so that a CA that cannot be read does not keep conditions from being written. */
  const tasks: readonly (() => Promise<Running> | Running)[] = [
    () =>
      leadTrust({
        ...{config, namespace, clusterDomain, trust: settings.trust, journal, onTrouble: trouble},
        onSigning: (use, validity) => metrics.certificates.show(use, validity),
        issuerSecret: settings.issuer?.servedSecret ?? null,
      }),
    () => keepStatus({...status, clusterDomain}),
    () => keepMeshStatus(status),
  ];
  /** What fails at its start (the API server went away just then) is tried again for as long as we lead. */
  const leadUntilItWorks = async (task: () => Promise<Running> | Running, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted)
      try {
        const running = await task();
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
        return running.stop();
      } catch (error) {
        journal.notice('error', 'controller.failed', `${short(error)}; again in ${RETRY_MS} ms`);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
  };
  let leading = false;
  const lease = standForLease({
    ...{config, namespace, name: 'sallyport-controller', identity: settings.identity},
    onLeading: (signal) => {
      leading = true;
      journal.notice('info', 'controller.leading', `${settings.identity} leads`);
      signal.addEventListener('abort', () => {
        leading = false;
        journal.notice('info', 'controller.following', `${settings.identity} no longer leads`);
      });
      for (const task of tasks) void leadUntilItWorks(task, signal);
    },
    onTrouble: (message) => journal.notice('warn', 'lease.failed', message),
  });
  // Each replica issues, whoever leads: a pod must not wait for an election.
  const issuer =
    settings.issuer === null
      ? null
      : await runIssuer({
          ...{config, namespace, issuer: settings.issuer, journal, metrics},
          ...{siteSecret: settings.trust.caSecret, agents: settings.trust.agents},
        });
  const admin = await startAdmin(settings.admin, {
    isLocal: isOwnAddress,
    // One that follows is as ready as one that leads: it would take over. Not where it would be asked for identities in vain.
    readiness: () => {
      const waitsFor = issuer?.waitsFor() ?? null;
      return {ready: waitsFor === null, leading, ...(waitsFor === null ? {} : {waitsFor})};
    },
    metrics: async () => exposition([await metrics.registry.getMetricsAsJSON()]),
  });
  journal.notice('info', 'controller.running', `${settings.identity} stands for election`);
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
  await lease.stop();
  await issuer?.stop();
  admin.close();
  admin.closeAllConnections();
  lines.flush();
  return EXIT.ok;
}

interface Running {
  stop(): void;
}

const RETRY_MS = 2_000;
