/** What the process says of traffic: one decision line per decision, one flow line per finished request or connection. */
import type {Decision, EgressRequest} from '../policy/index.ts';
import {claimedName} from './claimed-name.ts';
import {flowText, decisionText} from './journal-text.ts';
import {printable} from './printable.ts';
import type {LineWriter} from './output.ts';

/** The end of one request (http, https) or one connection (tls, tcp). */
export interface Flow {
  readonly decision: Decision;
  readonly request: EgressRequest;
  /** What the client was answered: the status; null where the connection was reset, closed or passed through. */
  readonly status: number | null;
  readonly protocol: 'h1' | 'h2' | 'grpc' | 'websocket' | 'tls' | 'tcp';
  /** Body (or stream) bytes from and to the client. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly durationMs: number;
  /** `address:port` that was dialled; null: none was. */
  readonly upstream: string | null;
  /** The UpstreamProxy that carried it; null: none. */
  readonly proxied: string | null;
  /** What went wrong after an allow (UpstreamUntrusted ...), or closed the flow early; null: nothing. */
  readonly failure: {readonly reason: string; readonly message: string} | null;
}

export type Level = 'debug' | 'info' | 'warn' | 'error';

export interface Journal {
  decision(decision: Decision, request: EgressRequest): void;
  flow(flow: Flow): void;
  /** Everything else: `event` is a stable dotted name (policy.loaded, worker.restarted); fields hold no secrets. */
  notice(level: Level, event: string, message: string, fields?: Record<string, unknown>): void;
}

/** The facts of a question that every line repeats. Header values and query values never are among them (invariant 9). */
export function requestFields(request: EgressRequest): Record<string, unknown> {
  const {workload, traffic, destination} = request;
  const http = traffic.kind === 'http' || traffic.kind === 'https' ? traffic.http : null;
  return {
    arrived: request.arrived,
    workload: workload === 'unknown' ? null : `${workload.namespace}/${workload.name}`,
    serviceAccount: workload === 'unknown' ? null : workload.serviceAccount,
    source: `${bracketed(request.source.ip)}:${request.source.port}`,
    destination: `${printable(bracketed(destination.ip ?? destination.host ?? '-'))}:${destination.port}`,
    scheme: traffic.kind,
    name: printable(claimedName(request)),
    ...(http === null ? {} : {method: printable(http.method, 64), path: printable(http.path)}),
  };
}

const bracketed = (host: string): string => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);

export function decisionFields(decision: Decision): Record<string, unknown> {
  return {
    id: decision.id,
    verdict: decision.verdict,
    enforced: decision.enforced,
    reason: decision.reason,
    policyNamespace: decision.policy?.namespace ?? null,
    policy: decision.policy?.name ?? null,
    rule: decision.rule,
    wouldDeny: decision.wouldDeny,
  };
}

/** A journal of JSON lines: `time`, `level`, `event`, then the fields. */
export function createJsonJournal(out: LineWriter, now: () => Date = () => new Date()): Journal {
  const line = (level: Level, event: string, fields: Record<string, unknown>): void =>
    out.line(JSON.stringify({time: now().toISOString(), level, event, ...fields}));
  return {
    decision(decision, request) {
      line(decision.verdict === 'deny' ? 'warn' : 'info', 'egress.decision', {
        ...decisionFields(decision),
        message: decision.message,
        ...requestFields(request),
        via: decision.via.kind === 'proxy' ? decision.via.proxy : null,
      });
    },
    flow(flow) {
      line(flow.failure === null ? 'info' : 'warn', 'egress.flow', {
        ...decisionFields(flow.decision),
        ...requestFields(flow.request),
        protocol: flow.protocol,
        status: flow.status,
        bytesIn: flow.bytesIn,
        bytesOut: flow.bytesOut,
        ms: Math.round(flow.durationMs * 10) / 10,
        upstream: flow.upstream,
        proxied: flow.proxied,
        failure: flow.failure === null ? null : flow.failure.reason,
        ...(flow.failure === null ? {} : {message: flow.failure.message}),
      });
    },
    notice: (level, event, message, fields = {}) => line(level, event, {message, ...fields}),
  };
}

/** A journal for people: one line a flow, as mitmproxy prints them, colours on a terminal; notices as sentences. */
export function createTextJournal(out: LineWriter, colours: boolean, now: () => Date = () => new Date()): Journal {
  const clock = (): string => now().toISOString().slice(11, 19);
  return {
    decision(decision, request) {
      // An allowed request is told once, by its flow line; a refusal or a would-be refusal is told when it is decided.
      if (decision.verdict === 'deny' || decision.wouldDeny !== false)
        out.line(decisionText(clock(), decision, request, colours));
    },
    flow(flow) {
      if (flow.decision.verdict === 'allow') out.line(flowText(clock(), flow, colours));
    },
    notice(level, event, message) {
      out.line(`${clock()} ${level === 'info' ? '' : `${level} `}${event}: ${message}`);
    },
  };
}
