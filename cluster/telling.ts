/** What an enforcement point tells the cluster: denials as events on their pods and, on a node, what is in force there. */
import type {Denials} from '../runtime/denials.ts';
import type {Journal} from '../runtime/journal.ts';
import type {Metrics} from '../runtime/metrics.ts';
import type {SourceSettings} from '../sources/settings.ts';
import type {NodeReport} from './node-report/report.ts';

export interface TellingOptions {
  readonly role: 'tproxy' | 'extauthz';
  /** Of us among those of our role: the node's name, or the pod's. */
  readonly instance: string;
  readonly journal: Journal;
  readonly metrics: Metrics;
  /** What is in force on our node; null: still on its way. Left out by who enforces on no node. */
  readonly look?: () => NodeReport | null;
}

export interface Telling {
  denied(denials: Denials): void;
  /** What `look` tells may have changed. */
  changed(): void;
  stop(): void;
}

const SILENT: Telling = {denied: () => undefined, changed: () => undefined, stop: () => undefined};

/** With policies of files there is nobody to tell. */
export async function openTelling(source: SourceSettings, options: TellingOptions): Promise<Telling> {
  if (source.kind === 'files') return SILENT;
  // Loaded only in a cluster: the client library is most of what a role's process would hold.
  const [{connectionOf}, {startEventRecorder}, {startNodeReport}] = await Promise.all([
    import('./connection.ts'),
    import('./events/recorder.ts'),
    import('./node-report/writer.ts'),
  ]);
  const {role, instance, journal, metrics, look} = options;
  const config = connectionOf(source.kubeconfig, process.env);
  const events = startEventRecorder({
    config,
    reporter: {controller: `sallyport.dev/${role}`, instance},
    onResult: (result, count) => metrics.events.inc({result}, count),
    onTrouble: (message) =>
      journal.notice('warn', 'events.failed', `denials cannot be told on their pods: ${message}; the log has them`),
  });
  let troubled = false;
  const report =
    look === undefined
      ? null
      : startNodeReport({
          ...{config, node: instance, look},
          onWritten: () => (troubled = false),
          onTrouble: (message, retryMs) => {
            if (!troubled)
              journal.notice(
                'warn',
                'report.failed',
                `EgressNode ${instance} cannot be written: ${message}; again in ${retryMs} ms and so on. Policies will not be shown as enforced here`,
              );
            troubled = true;
          },
        });
  return {
    denied({denials, left}) {
      if (left > 0) metrics.events.inc({result: 'suppressed'}, left);
      events.record(denials);
    },
    changed: () => report?.changed(),
    stop() {
      events.stop();
      report?.stop();
    },
  };
}
