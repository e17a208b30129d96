/** `sallyport injector`: the webhook, fed by the cluster and by files that are watched. */
import {connectionOf} from '../cluster/connection.ts';
import {watchDocuments} from '../cluster/documents.ts';
import {watchNamespaces} from '../cluster/namespaces.ts';
import {formatFinding, type UpstreamProxyDocument} from '../policy/index.ts';
import {startAdmin} from '../runtime/admin.ts';
import {validityOf} from '../runtime/certificate-times.ts';
import {EXIT, SallyportError} from '../runtime/errors.ts';
import {readFlagFile} from '../runtime/flag-file.ts';
import {helpText} from '../runtime/flags.ts';
import {createJsonJournal, createTextJournal, type Journal} from '../runtime/journal.ts';
import {cannotListen, listenText} from '../runtime/listen.ts';
import {isOwnAddress} from '../runtime/own-addresses.ts';
import {createLineWriter, type Out} from '../runtime/output.ts';
import {watchTlsFiles, type TlsFiles} from '../runtime/tls-files.ts';
import {watchPaths} from '../runtime/watch.ts';
import {INJECTOR_FLAGS, injectorConfig, type InjectorConfig} from './flags.ts';
import {createAdmissionMetrics} from './metrics.ts';
import {createInjectorServer} from './server.ts';
import {readInstallation, type Installation} from './settings.ts';

/** Runs until SIGTERM or SIGINT; the result is the exit code. Throws SallyportError for what cannot start. */
export async function injector(argv: readonly string[], out: Out): Promise<number> {
  if (argv.includes('--help')) {
    out.stdout(helpText('injector', 'the admission webhook of pods', INJECTOR_FLAGS));
    return EXIT.ok;
  }
  const config = injectorConfig(argv, process.env, process.stdout.isTTY);
  const lines = createLineWriter(1, {
    lost: () => {},
    again: (count) => journal.notice('error', 'log.dropped', `${count} log lines were lost`),
  });
  const journal: Journal =
    config.logFormat === 'json' ? createJsonJournal(lines) : createTextJournal(lines, process.stdout.isTTY);
  const cluster = connectionOf(config.kubeconfig, process.env);
  const trouble = (message: string, retryMs: number): void =>
    journal.notice('warn', 'cluster.away', `the API server: ${message}; asked again in ${Math.round(retryMs)} ms`);

  const proxies = new Map<string, UpstreamProxyDocument>();
  const settings = new WatchedInstallation(config, proxies, journal);
  const metrics = createAdmissionMetrics();
  let draining = false;
  /** null: nothing, it serves. */
  let waitsFor: string | null = 'the API server';
  // First, so that probes are told what is waited for.
  const admin = await startAdmin(config.admin, {
    isLocal: isOwnAddress,
    readiness: () => ({
      ...{ready: !draining && waitsFor === null, draining, configuration: settings.lastLoad},
      ...(waitsFor === null ? {} : {waitsFor}),
    }),
    metrics: () => metrics.exposition(),
  });
  const namespaces = watchNamespaces(cluster, trouble);
  const upstreams = await new Promise<{stop(): void}>((resolve) => {
    const reflector = watchDocuments({
      config: cluster,
      kind: 'UpstreamProxy',
      onChange: (name, now) => {
        // One that is not valid keeps its good predecessor.
        if (now === null) proxies.delete(name);
        else if (now.document?.kind === 'UpstreamProxy') proxies.set(name, now.document);
      },
      onSynced: () => resolve(reflector),
      onTrouble: trouble,
    });
  });
  await namespaces.synced;

  let useCertificate: (files: TlsFiles) => void = () => undefined;
  const showServed = ({cert}: TlsFiles): void => metrics.certificates.show('served', validityOf(cert, '--tls-cert'));
  // The controller makes the Secret that is mounted, and may start after us.
  const tls = await watchTlsFiles(config.tls, {
    onWaiting: (message) => {
      waitsFor = message;
      journal.notice('warn', 'tls.waiting', `${message}; the webhook serves as soon as it is there`);
    },
    onLoaded: (files) => {
      useCertificate(files);
      showServed(files);
      journal.notice('info', 'tls.loaded', 'new certificates serve new connections');
    },
    onFailed: (message) => journal.notice('error', 'tls.failed', `${message} The last good certificates stay in use.`),
  });
  showServed(tls.files);
  const server = createInjectorServer({
    installation: () => settings.current,
    namespaceOf: (name) => namespaces.find(name),
    certificate: tls.files,
    onAnswer: (webhook, outcome, ms) => metrics.answered(webhook, outcome, ms),
    onError: (error) => journal.notice('error', 'injector.failed', String((error as Error).stack ?? error)),
  });
  useCertificate = (files) => server.useCertificate(files);
  await server
    .listen(config.listen.ip ?? '::', config.listen.port)
    .catch((error: Error) => Promise.reject(cannotListen('--listen', config.listen, error)));
  waitsFor = null;
  journal.notice(
    'info',
    'injector.listening',
    `webhook ${listenText(config.listen)}, admin ${listenText(config.admin)}`,
  );
  await new Promise<void>((resolve) => {
    const stop = (signal: string): void => {
      // A second signal is somebody who does not want to wait.
      const deadlineMs = draining ? 0 : config.drainDeadlineMs;
      draining = true;
      server.drain();
      journal.notice('info', 'injector.draining', `${signal}: pods are answered for ${deadlineMs / 1000} s more`);
      setTimeout(resolve, deadlineMs);
    };
    process.on('SIGTERM', () => stop('SIGTERM'));
    process.on('SIGINT', () => stop('SIGINT'));
  });
  settings.close();
  tls.close();
  namespaces.stop();
  upstreams.stop();
  await server.close();
  admin.close();
  admin.closeAllConnections();
  lines.flush();
  return EXIT.ok;
}

/** The configuration file as it was last good. */
class WatchedInstallation {
  current: Installation;
  lastLoad = 'ok';
  readonly #watch: {close(): void} | null;

  /** Throws SallyportError `ConfigurationInvalid` for a file that is bad at start. */
  constructor(
    {configFile}: InjectorConfig,
    upstreamProxies: ReadonlyMap<string, UpstreamProxyDocument>,
    journal: Journal,
  ) {
    const read = (): Installation => {
      const text =
        configFile === null ? '' : readFlagFile('--config', configFile, 'Name a YAML file that can be read.');
      const {value, findings} = readInstallation(configFile ?? 'defaults', text, upstreamProxies);
      if (value !== null) return withApiServer(value, process.env['KUBERNETES_SERVICE_HOST']);
      throw new SallyportError('ConfigurationInvalid', findings.map(formatFinding).join('\n'), '');
    };
    this.current = read();
    this.#watch =
      configFile === null
        ? null
        : watchPaths([configFile], () => {
            try {
              this.current = read();
              this.lastLoad = 'ok';
              journal.notice('info', 'configuration.loaded', 'the new configuration is in force');
            } catch (error) {
              this.lastLoad = error instanceof SallyportError ? error.describe() : String(error);
              journal.notice('error', 'configuration.failed', `${this.lastLoad} The last good one stays in force.`);
            }
          });
  }

  close(): void {
    this.#watch?.close();
  }
}

/** Where we run in the cluster we know its API server's address by the variable that every pod has. */
function withApiServer(installation: Installation, address: string | undefined): Installation {
  const {cluster} = installation;
  if (address === undefined || cluster.apiServers.includes(address)) return installation;
  return {...installation, cluster: {...cluster, apiServers: [address, ...cluster.apiServers]}};
}
