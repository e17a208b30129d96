/** What a step of the tour expects of a command's output, and what was seen. */

export interface Expectation {
  /** In words, for the table: `200`, `418 Access Denied by Administrator`, `refused`. */
  readonly says: string;
  holds(result: CommandResult): boolean;
}

export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Seen {
  readonly who: string;
  readonly what: string;
  readonly expected: string;
  readonly seen: string;
  readonly ok: boolean;
}

/** curl -w prints the status as the last line; curl's own failure shows as its exit code. */
export function curlStatus(result: CommandResult): string {
  return result.status === 0 ? (result.stdout.trimEnd().split('\n').at(-1) ?? '') : `curl exit ${result.status}`;
}

export const answers = (status: number, body = ''): Expectation => ({
  says: body === '' ? String(status) : `${status} ${body}`,
  holds: (result) => curlStatus(result) === String(status) && result.stdout.includes(body),
});

/** 60: the certificate is signed by nobody that curl knows. */
export const distrusted: Expectation = {says: 'certificate not trusted', holds: (result) => result.status === 60};

export const replies: Expectation = {says: 'replies', holds: (result) => result.status === 0};

/** Refused at once, not lost: an ICMP error came back, or the command failed without waiting for its time limit. */
export const refused: Expectation = {says: 'refused', holds: (result) => result.status !== 0 && result.status !== null};

/** What to show of a result, in one short line. */
export function describe(result: CommandResult): string {
  const text = (result.stdout.trim() || result.stderr.trim()).replaceAll(/\s*\n\s*/g, ' ');
  return text.length > 110 ? `${text.slice(0, 107)}...` : text;
}

/** The table at the end; its last line says whether all agree. */
export function table(rows: readonly Seen[]): string {
  const header = {who: 'from', what: 'what', expected: 'expected', seen: 'seen', ok: true};
  const width = (key: 'who' | 'what' | 'expected' | 'seen'): number =>
    Math.max(...[header, ...rows].map((row) => row[key].length));
  const widths = [width('who'), width('what'), width('expected'), width('seen')] as const;
  const line = (row: Seen, mark: string): string =>
    `${row.who.padEnd(widths[0])}  ${row.what.padEnd(widths[1])}  ${row.expected.padEnd(widths[2])}  ${row.seen.padEnd(widths[3])}  ${mark}`.trimEnd();
  const agreed = rows.filter((row) => row.ok).length;
  return [
    line(header, ''),
    line(
      {
        who: '-'.repeat(widths[0]),
        what: '-'.repeat(widths[1]),
        expected: '-'.repeat(widths[2]),
        seen: '-'.repeat(widths[3]),
        ok: true,
      },
      '',
    ),
    ...rows.map((row) => line(row, row.ok ? 'ok' : 'DIFFERS')),
    `${agreed} of ${rows.length} as expected`,
  ].join('\n');
}
