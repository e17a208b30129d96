/** What the process says of traffic: one decision line per decision, one flow line per finished request or connection. */
import type {Decision, EgressRequest} from '../policy/index.ts';
import {JsonLines} from './journal-json.ts';
import {flowText, decisionText} from './journal-text.ts';
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

/** A journal of JSON lines: `time`, `level`, `event`, then the fields. */
export function createJsonJournal(out: LineWriter, now: () => Date = () => new Date()): Journal {
  const lines = new JsonLines(now);
  return {
    decision: (decision, request) => out.line(lines.decision(decision, request)),
    flow: (flow) => out.line(lines.flow(flow)),
    notice: (level, event, message, fields = {}) => out.line(lines.notice(level, event, message, fields)),
  };
}

/** A journal for people: one line a flow, as mitmproxy prints them, colours on a terminal; notices as sentences. */
export function createTextJournal(out: LineWriter, colours: boolean, now: () => Date = () => new Date()): Journal {
  const clock = (): string => now().toISOString().slice(11, 19);
  return {
    decision(decision, request) {
      // An allowed request is told once, by its flow line; a refusal or a would-be refusal is told when it is decided. Of what
      // Envoy carries there is no flow line here.
      if (decision.verdict === 'deny' || decision.wouldDeny !== false || request.arrived === 'mesh')
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
