/** A refusal that no exchange tells: its decision line and its flow line. */
import type {Decision, EgressRequest} from '../../policy/index.ts';
import type {Flow} from '../../runtime/journal.ts';
import type {ClientConnection} from './connection.ts';

/** `status`: what the client was answered; null: a reset. */
export function journalRefusal(
  connection: ClientConnection,
  decision: Decision,
  request: EgressRequest,
  protocol: Flow['protocol'],
  status: number | null,
  failure: Flow['failure'] = null,
): void {
  const {core, openedAt, socket} = connection;
  core.services.journal.decision(decision, request);
  core.services.journal.flow({
    decision,
    request,
    status,
    protocol,
    bytesIn: status === null ? socket.bytesRead : 0,
    bytesOut: status === null ? 0 : Buffer.byteLength(decision.response?.body ?? ''),
    durationMs: core.now() - openedAt,
    upstream: null,
    proxied: null,
    failure,
  });
}
