/** What an Envoy of the mesh refuses before it asks: its access log line is all that there is of a decision. */
import type {AccessLogLine, Envoy} from '../../../envoy/index.ts';
import {until} from '../../../waiting.ts';
import type {Attempt} from '../../client/clients.ts';
import type {ObservedDecision} from '../../observation.ts';

/** The access log is flushed every second at the latest, of a machine that does much else. */
const LOG_TIMEOUT_MS = 3000;

/** An Envoy, and how long its access log was when the step began. */
export interface Watched {
  readonly envoy: Envoy;
  readonly from: number;
}

/** `asked`: whether there is a decision by now. null: it was not the codec. */
export async function refusedByCodec(
  watched: readonly Watched[],
  {answer, responses}: Attempt,
  asked: () => boolean,
): Promise<ObservedDecision | null> {
  if (answer.kind !== 'response' || answer.status !== 400 || (responses?.length ?? 0) > 1) return null;
  const refused = (): boolean => watched.some(({envoy, from}) => envoy.accessLog().slice(from).some(isCodecs));
  await until(
    () => asked() || refused(),
    (seen) => seen,
    {withinMs: LOG_TIMEOUT_MS},
  ).catch(() => false);
  if (!refused()) return null;
  return {verdict: 'deny', reason: 'MalformedRequest', rule: null, wouldDeny: true};
}

/** Nothing was asked, and the message is what is wrong: a protocol error of the client, or no Host. */
export const isCodecs = (line: AccessLogLine): boolean =>
  line['request'] === null &&
  (String(line['response_flags']).split(',').includes('DPE') ||
    line['response_code_details'] === 'missing_host_header');
