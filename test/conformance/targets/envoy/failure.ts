/** What Envoy says and does by itself, out of its access log: what befell an allowed request, and what it never asked about. */
import type {AccessLogLine, Envoy} from '../../../envoy/index.ts';
import type {Attempt} from '../../client/clients.ts';
import type {Expectation} from '../../format/case.ts';
import type {ObservedDecision} from '../../observation.ts';

/** The access log is flushed every 20 ms, of a machine that does much else. */
const LOG_TIMEOUT_MS = 1000;

/** The reason by which tproxy calls what befell an allowed request; null: nothing failed, or nobody asks. */
export async function upstreamFailure(
  envoy: Envoy,
  from: number,
  {answer, source}: Attempt,
  expect: Expectation,
): Promise<string | null> {
  if (expect.reason === undefined || answer.kind !== 'response' || answer.status < 500) return null;
  const line = await lineOf(envoy, from, source);
  return line === null ? null : failureOf(line);
}

/** By Envoy's response flags, and what the TLS library said. */
export function failureOf(line: AccessLogLine): string | null {
  const flags = String(line['flags']).split(',');
  if (!flags.some((flag) => flag === 'UF' || flag === 'UH')) return null;
  const transport = String(line['transport']);
  return /CERTIFICATE_VERIFY_FAILED|verify (SAN|cert)/i.test(transport) ? 'UpstreamUntrusted' : 'UpstreamUnreachable';
}

/** A message that Envoy's codec refuses is asked about by nobody: its log line is all that there is of a decision; null: it is none. */
export async function refusedByCodec(
  envoy: Envoy,
  from: number,
  {answer, source, responses}: Attempt,
): Promise<ObservedDecision | null> {
  if (answer.kind !== 'response' || answer.status !== 400 || (responses?.length ?? 0) > 1) return null;
  const line = await lineOf(envoy, from, source);
  if (line === null || !isCodecs(line)) return null;
  return {verdict: 'deny', reason: 'MalformedRequest', rule: null, wouldDeny: true};
}

/** Nothing was asked, and the message is what is wrong: a protocol error of the client, or no Host. */
export const isCodecs = (line: AccessLogLine): boolean =>
  line['decision'] === null &&
  (String(line['flags']).split(',').includes('DPE') || line['details'] === 'missing_host_header');

/** By address and port; where the kernel gave the connection another port on its way here, by the address. */
async function lineOf(envoy: Envoy, from: number, source: string | null): Promise<AccessLogLine | null> {
  if (source === null) return null;
  const since = (): AccessLogLine[] => envoy.accessLog().slice(from);
  const exact = (line: AccessLogLine): boolean => line['source'] === source;
  await envoy.logged(() => since().some(exact), LOG_TIMEOUT_MS).catch(() => undefined);
  const address = source.slice(0, source.lastIndexOf(':') + 1);
  return since().findLast(exact) ?? since().findLast((line) => String(line['source']).startsWith(address)) ?? null;
}
