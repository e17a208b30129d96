/** `sallyport extauthz`: settings to a running service, signals to a drain. */
import {hostname} from 'node:os';
import {openTelling} from '../cluster/telling.ts';
import {openRoleCa} from '../cluster/node-ca/open.ts';
import {startAdmin} from '../runtime/admin.ts';
import {keepCodeCache} from '../runtime/code-cache.ts';
import {validityOf} from '../runtime/certificate-times.ts';
import {EXIT} from '../runtime/errors.ts';
import {helpText} from '../runtime/flags.ts';
import {createJsonJournal, createTextJournal, type Journal} from '../runtime/journal.ts';
import {listenText} from '../runtime/listen.ts';
import {createMetrics, exposition} from '../runtime/metrics.ts';
import {isOwnAddress} from '../runtime/own-addresses.ts';
import {createLineWriter, type Out} from '../runtime/output.ts';
import {Knowledge} from './knowledge.ts';
import {startProcesses} from './processes.ts';
import type {Place} from './server/listener.ts';
import {EXTAUTHZ_FLAGS, extauthzSettings} from './settings.ts';

/** Runs until SIGTERM or SIGINT; the result is the exit code. Throws SallyportError for what cannot start. */
export async function extauthz(argv: readonly string[], out: Out): Promise<number> {
  if (argv.includes('--help')) {
    out.stdout(helpText('extauthz', 'answers Envoy (ext_authz) by the policy', EXTAUTHZ_FLAGS));
    return EXIT.ok;
  }
  const config = extauthzSettings(argv, process.env, process.stdout.isTTY);
  const metrics = createMetrics();
  const lines = createLineWriter(1, {
    lost: (count) => metrics.droppedLogLines.inc(count),
    again: (count) => journal.notice('error', 'log.dropped', `${count} log lines were lost`),
  });
  const journal: Journal =
    config.logFormat === 'json' ? createJsonJournal(lines) : createTextJournal(lines, process.stdout.isTTY);
  const knowledge = await Knowledge.open(config, journal, metrics);
  // Made here once, so that Envoy's clients find the bundle; from the cluster it may come later.
  const ca =
    config.sds === null
      ? null
      : await openRoleCa({
          ...{dir: config.sds.caDir, upstreamCaFile: null, journal},
          cluster:
            config.source.kind === 'files' ? null : {kubeconfig: config.source.kubeconfig, node: config.sds.nodeName},
        });
  let draining = false;
  const telling = await openTelling(config.source, {role: 'extauthz', instance: hostname(), journal, metrics});
  const processes = await startProcesses(
    config,
    knowledge.state,
    journal,
    () => metrics.workerRestarts.inc(),
    (denials) => telling.denied(denials),
  );
  const admin = await startAdmin(config.admin, {
    isLocal: isOwnAddress,
    readiness: () => {
      const detail = processes.readiness();
      // Without a CA names get no certificate, and Envoy is told so; Checks are answered all the same.
      const signs = ca === null ? {} : {ca: ca.trouble() ?? 'ok'};
      return {
        ...detail,
        ready: detail.ready && knowledge.ready && !draining,
        draining,
        ...signs,
        ...knowledge.describe(),
      };
    },
    metrics: async () => {
      metrics.certificates.show('signing', ca?.validity() ?? null);
      const {tls} = knowledge.state;
      metrics.certificates.show('served', tls === null ? null : validityOf(tls.cert, '--tls-cert'));
      return exposition([...(await processes.metrics()), await metrics.registry.getMetricsAsJSON()]);
    },
  }).catch(async (error: unknown) => {
    await processes.drain(0);
    throw error;
  });
  await knowledge.watch((state) => processes.apply(state));
  keepCodeCache();
  journal.notice(
    'info',
    'extauthz.listening',
    `ext_authz ${placeText(config.listen)}, ${config.sds === null ? '' : `sds ${placeText(config.sds.place)}, `}admin ${listenText(config.admin)}`,
  );
  await new Promise<void>((resolve) => {
    const stop = (signal: string): void => {
      // A second signal is somebody who does not want to wait.
      const deadlineMs = draining ? 0 : config.drainDeadlineMs;
      draining = true;
      journal.notice('info', 'extauthz.draining', `${signal}: Checks may finish for ${deadlineMs / 1000} s`);
      void processes.drain(deadlineMs).then(resolve);
    };
    process.on('SIGTERM', () => stop('SIGTERM'));
    process.on('SIGINT', () => stop('SIGINT'));
  });
  knowledge.close();
  await ca?.close();
  telling.stop();
  admin.close();
  admin.closeAllConnections();
  lines.flush();
  return EXIT.ok;
}

const placeText = (place: Place): string => (place.kind === 'unix' ? `unix:${place.path}` : listenText(place));
