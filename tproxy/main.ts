/** `sallyport tproxy`: settings to a running supervisor, signals to a drain. */
import {SallyportError, EXIT} from '../runtime/errors.ts';
import {helpText} from '../runtime/flags.ts';
import {createJsonJournal, createTextJournal, type Journal} from '../runtime/journal.ts';
import {createLineWriter, type Out} from '../runtime/output.ts';
import {becomeProxy} from './become-proxy.ts';
import {TPROXY_FLAGS, tproxySettings} from './settings.ts';
import {Supervisor} from './supervisor.ts';

/** Runs until SIGTERM or SIGINT; the result is the exit code. Throws SallyportError for what cannot start. */
export async function tproxy(argv: readonly string[], out: Out): Promise<number> {
  if (argv.includes('--help')) {
    out.stdout(helpText('tproxy', 'holds the traffic of pods without a sidecar to the policy', TPROXY_FLAGS));
    return EXIT.ok;
  }
  if (process.platform !== 'linux')
    throw new SallyportError(
      'Platform',
      `sallyport tproxy runs on Linux, not on ${process.platform}`,
      'sallyport check and explain run here.',
    );
  const config = tproxySettings(argv, process.env, process.stdout.isTTY);
  if (config.capture === 'pod' && config.mtls !== null && process.getuid?.() === 0) becomeProxy();
  let supervisor: Supervisor | null = null;
  const lines = createLineWriter(1, {
    lost: (count) => supervisor?.logLinesLost(count),
    again: (count) => journal.notice('error', 'log.dropped', `${count} log lines were lost`),
  });
  const journal: Journal =
    config.logFormat === 'json' ? createJsonJournal(lines) : createTextJournal(lines, process.stdout.isTTY);
  const running = (supervisor = await Supervisor.start(config, journal));
  const stopped = new Promise<number>((resolve) => {
    let asked = 0;
    const stop = (signal: string): void => {
      asked++;
      // A second signal is somebody who does not want to wait.
      void running.stop(asked > 1 ? 0 : config.drainDeadlineMs, signal).then(() => resolve(EXIT.ok));
    };
    process.on('SIGTERM', () => stop('SIGTERM'));
    process.on('SIGINT', () => stop('SIGINT'));
  });
  const code = await stopped;
  lines.flush();
  return code;
}
