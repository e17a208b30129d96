/** What befell an allowed request afterwards, out of Envoy's access log: tproxy tells it in its flow line. */
import type {AccessLogLine, Envoy} from '../../../envoy/index.ts';
import type {Attempt} from '../../client/clients.ts';
import type {Expectation} from '../../format/case.ts';

/** The access log is flushed every 20 ms. */
const LOG_TIMEOUT_MS = 1000;

/** The reason by which tproxy calls it; null: nothing failed, or nobody asks. */
export async function upstreamFailure(
  envoy: Envoy,
  from: number,
  {answer, source}: Attempt,
  expect: Expectation,
): Promise<string | null> {
  if (expect.reason === undefined || answer.kind !== 'response' || answer.status < 500) return null;
  const fits = (line: AccessLogLine): boolean => line['source'] === source;
  const line = await envoy
    .logged((one) => fits(one) && envoy.accessLog().indexOf(one) >= from, LOG_TIMEOUT_MS)
    .catch(() => null);
  return line === null ? null : failureOf(line);
}

/** By Envoy's response flags, and what the TLS library said. */
export function failureOf(line: AccessLogLine): string | null {
  const flags = String(line['flags']).split(',');
  if (!flags.some((flag) => flag === 'UF' || flag === 'UH')) return null;
  const transport = String(line['transport']);
  return /CERTIFICATE_VERIFY_FAILED|verify (SAN|cert)/i.test(transport) ? 'UpstreamUntrusted' : 'UpstreamUnreachable';
}
