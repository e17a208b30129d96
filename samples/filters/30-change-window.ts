// Writes to production go out during working hours, or with the ticket of an approved change.
import {readFileSync} from 'node:fs';
import type {RequestFlow} from '../../filters/types.ts';

/** One ticket a line. A change of the file reloads the filters, so it is read once. */
const approved = new Set(
  readFileSync(new URL('./tickets.txt', import.meta.url), 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#')),
);
const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

export function request(flow: RequestFlow): void {
  const {method, headers} = flow.request;
  if (flow.workload.labels['stage'] !== 'production' || READS.has(method)) return;
  const now = new Date();
  const working = now.getUTCDay() >= 1 && now.getUTCDay() <= 5 && now.getUTCHours() >= 7 && now.getUTCHours() < 17;
  const ticket = headers.get('x-change-ticket');
  // The ticket is ours to read, not the server's.
  headers.delete('x-change-ticket');
  if (working || (ticket !== null && approved.has(ticket))) return;
  flow.respond({
    status: 403,
    body: 'Changes from production wait for Monday to Friday, 07:00-17:00 UTC, or need an approved x-change-ticket.\n',
  });
}
