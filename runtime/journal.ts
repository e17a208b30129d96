/** What the process says of traffic: one decision line per decision, one flow line per finished request or connection. */
import type {Decision, EgressRequest} from '../policy/index.ts';

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

export interface Journal {
  decision(decision: Decision, request: EgressRequest): void;
  flow(flow: Flow): void;
  /** Everything else: `event` is a stable dotted name (policy.loaded, worker.restarted); fields hold no secrets. */
  notice(level: 'debug' | 'info' | 'warn' | 'error', event: string, message: string, fields?: Record<string, unknown>): void;
}
