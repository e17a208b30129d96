/** Metrics: `sallyport_*`, base units, no host or path labels (DESIGN §7). Workers count; the supervisor adds them up. */
import {AggregatorRegistry, Counter, Gauge, Registry} from 'prom-client';
import type {Decision} from '../policy/index.ts';
import {certificateTimes, type CertificateTimes} from './certificate-times.ts';
import type {Flow, Journal} from './journal.ts';
import {PolicyTally} from './policy-tally.ts';
import {tallyCounter, tallyHistogram, type Count, type Spread} from './tally.ts';

export interface Metrics {
  readonly registry: Registry;
  readonly leafMints: Counter;
  readonly connections: Gauge<'kind'>;
  readonly policyLoads: Counter<'result'>;
  readonly policyDocuments: Gauge<'kind'>;
  readonly workerRestarts: Counter;
  readonly droppedLogLines: Counter;
  readonly suppressedLogLines: Counter;
  readonly limited: Counter<'limit'>;
  readonly held: Gauge<'what'>;
  readonly memory: Gauge<'kind'>;
  readonly workloads: Gauge;
  readonly capturePackets: Gauge<'counter'>;
  readonly captureState: Gauge<'state'>;
  readonly captureMembers: Gauge<'what'>;
  readonly certificates: CertificateTimes;
  readonly events: Counter<'result'>;
  /** Of a connection. */
  relayEvent(event: string): void;
  decision(decision: Decision): void;
  flow(flow: Flow): void;
}

/** Seconds: from a cached answer to a slow upload. */
const DURATION_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const decisions = tallyCounter({
    name: 'sallyport_decisions_total',
    help: 'Decisions, by what came out and why.',
    labelNames: ['verdict', 'reason', 'would_deny'],
    registers,
  });
  const byPolicy = new PolicyTally(registers);
  const flows = tallyCounter({
    name: 'sallyport_flows_total',
    help: 'Finished requests and connections.',
    labelNames: ['protocol', 'verdict', 'failure'],
    registers,
  });
  const duration = tallyHistogram({
    name: 'sallyport_flow_duration_seconds',
    help: 'From the first byte of a request (or connection) to its end.',
    labelNames: ['protocol'],
    buckets: DURATION_BUCKETS,
    registers,
  });
  const bytes = tallyCounter({
    name: 'sallyport_flow_bytes_total',
    help: 'Body bytes, seen from the client.',
    labelNames: ['direction'],
    registers,
  });
  const sent = bytes({direction: 'sent'});
  const received = bytes({direction: 'received'});
  const decided = new Map<string, Count>();
  const finished = new Map<string, {readonly count: Count; readonly seconds: Spread}>();
  const durations = new Map<string, Spread>();
  const relayEvents = tallyCounter({
    name: 'sallyport_connection_events_total',
    help: 'Connections accepted, limited, timed out; handshakes done, failed and leaves rejected.',
    labelNames: ['event'],
    registers,
  });
  const happened = new Map<string, Count>();
  return {
    registry,
    leafMints: new Counter({name: 'sallyport_leaf_mints_total', help: 'Leaf certificates made.', registers}),
    connections: new Gauge({
      name: 'sallyport_connections',
      help: 'Client connections that are open now.',
      labelNames: ['kind'],
      registers,
    }),
    policyLoads: new Counter({
      name: 'sallyport_policy_loads_total',
      help: 'Loads of the policies.',
      labelNames: ['result'],
      registers,
    }),
    policyDocuments: new Gauge({
      name: 'sallyport_policy_documents',
      help: 'Documents in force.',
      labelNames: ['kind'],
      registers,
    }),
    workerRestarts: new Counter({
      name: 'sallyport_worker_restarts_total',
      help: 'Workers that died and were replaced.',
      registers,
    }),
    droppedLogLines: new Counter({
      name: 'sallyport_log_lines_dropped_total',
      help: 'Log lines lost because the log could not be written fast enough.',
      registers,
    }),
    suppressedLogLines: new Counter({
      name: 'sallyport_log_lines_suppressed_total',
      help: 'Log lines beyond what one workload may write; summed up in journal.suppressed lines.',
      registers,
    }),
    limited: new Counter({
      name: 'sallyport_limited_total',
      help: 'What was refused or cut because of a limit, by limit (docs/LIMITS.md).',
      labelNames: ['limit'],
      registers,
    }),
    held: new Gauge({
      name: 'sallyport_held',
      help: 'What is held now, by what: requests, streams, bytes, legs, cached leaves and names ...',
      labelNames: ['what'],
      registers,
    }),
    memory: new Gauge({
      name: 'sallyport_memory_bytes',
      help: 'Memory of the workers, by kind: resident, JavaScript heap in use, buffers outside of it.',
      labelNames: ['kind'],
      registers,
    }),
    workloads: new Gauge({name: 'sallyport_workloads', help: 'Workloads in the table.', registers}),
    capturePackets: new Gauge({
      name: 'sallyport_capture_packets',
      help: 'Packets by nftables counter since the ruleset was applied.',
      labelNames: ['counter'],
      registers,
    }),
    captureState: new Gauge({
      name: 'sallyport_capture_state',
      help: 'Of the capture, 1 where it is so: started, current (the kernel has the last change), in-force, guarded, remembered.',
      labelNames: ['state'],
      registers,
    }),
    captureMembers: new Gauge({
      name: 'sallyport_capture_members',
      help: 'Addresses of pods that are to be held (wanted), that the kernel holds (held), and of these: without a route (unplaced), of pods that are gone (ended).',
      labelNames: ['what'],
      registers,
    }),
    certificates: certificateTimes(registry),
    events: new Counter({
      name: 'sallyport_events_total',
      help: 'Kubernetes Events of denials: created, updated, failed; suppressed: denials that no event tells of.',
      labelNames: ['result'],
      registers,
    }),
    relayEvent(event) {
      let count = happened.get(event);
      if (count === undefined) happened.set(event, (count = relayEvents({event})));
      count.value++;
    },
    decision(decision) {
      const {verdict, reason, wouldDeny} = decision;
      byPolicy.count(decision);
      const key = `${verdict} ${reason} ${wouldDeny}`;
      let count = decided.get(key);
      if (count === undefined) {
        count = decisions({verdict, reason, would_deny: String(wouldDeny)});
        decided.set(key, count);
      }
      count.value++;
    },
    flow({decision: {verdict}, protocol, failure, durationMs, bytesIn, bytesOut}) {
      const why = failure?.reason ?? '';
      const key = `${protocol} ${verdict} ${why}`;
      let tallies = finished.get(key);
      if (tallies === undefined) {
        let seconds = durations.get(protocol);
        if (seconds === undefined) durations.set(protocol, (seconds = duration({protocol})));
        tallies = {count: flows({protocol, verdict, failure: why}), seconds};
        finished.set(key, tallies);
      }
      tallies.count.value++;
      tallies.seconds.observe(durationMs / 1000);
      sent.value += bytesIn;
      received.value += bytesOut;
    },
  };
}

/** A journal that also counts what passes through it: the line and the metric come from the same value. */
export function countingJournal(journal: Journal, metrics: Metrics): Journal {
  return {
    decision(decision, request) {
      metrics.decision(decision);
      journal.decision(decision, request);
    },
    flow(flow) {
      metrics.flow(flow);
      journal.flow(flow);
    },
    notice: (level, event, message, fields) => journal.notice(level, event, message, fields),
  };
}

/** The text of /metrics from every process's metrics (`await registry.getMetricsAsJSON()`), counters and gauges added up. */
export async function exposition(parts: readonly object[]): Promise<{contentType: string; text: string}> {
  const registry = AggregatorRegistry.aggregate([...parts]);
  return {contentType: registry.contentType, text: await registry.metrics()};
}
