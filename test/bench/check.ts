/** `npm run bench -- --check`: what was measured against what is aimed for. */
import type {Row} from './proxies.ts';
import type {Table} from './tables.ts';

/** Peers are measured one after the other; what is compared is of one round. */
export interface RoundRow extends Row {
  readonly round: number;
}

export interface Aim {
  readonly what: string;
  /** null: not measured, which is no success. */
  readonly measured: number | null;
  readonly limit: number;
  readonly least?: boolean;
  readonly unit: string;
}

const US = 'sallyport';
const SMALL = 'keep-alive, 100 B';
const LARGE = 'keep-alive, 1 MB';
const NEW = 'new connection each, 100 B';

/** `rows` of all rounds; `tables` as they are printed. */
export function aims(rows: readonly RoundRow[], tables: readonly Table[]): Aim[] {
  const cpu = (load: string): number | null => ratio(rows, load, 'Envoy', (row) => row.cpuUsPerRequest);
  const cell = (table: string, row: number, column: string): number | null => read(tables, table, row, column);
  const mean = (row: number): number | null => cell('decide()', row, 'mean µs');
  const few = mean(0);
  const many = mean(-1);
  return [
    {what: 'CPU of Envoy, kept connections, 100 B', measured: cpu(SMALL), limit: 0.8, unit: 'x'},
    {
      what: 'requests/s of mitmproxy, kept connections, 100 B',
      measured: ratio(rows, SMALL, 'mitmproxy', (row) => row.requestsPerSecond),
      limit: 25,
      least: true,
      unit: 'x',
    },
    {what: 'CPU of Envoy, kept connections, 1 MB', measured: cpu(LARGE), limit: 1.2, unit: 'x'},
    {what: 'CPU of Envoy, new connections', measured: cpu(NEW), limit: 1.5, unit: 'x'},
    {
      what: 'decide() at 100,000 rules against 10',
      measured: few === null || many === null ? null : many / few,
      limit: 2,
      unit: 'x',
    },
    {what: 'decide() at 100,000 rules, mean', measured: many, limit: 5, unit: 'µs'},
    {
      what: 'decide() at 100,000 rules, worst request',
      measured: cell('decide()', -1, 'worst µs'),
      limit: 50,
      unit: 'µs',
    },
    {what: 'a leaf minted', measured: cell('Leaf minting', 0, 'mean CPU ms'), limit: 0.5, unit: 'ms'},
    {what: 'listening after exec', measured: cell('Start-up', 0, 'median ms'), limit: 500, unit: 'ms'},
    {
      what: 'an idle connection with both legs',
      measured: cell('Memory', 0, 'kB each, both legs'),
      limit: 120,
      unit: 'kB',
    },
    {
      what: 'an idle connection without its upstream leg',
      measured: cell('Memory', 0, 'kB each, client leg'),
      limit: 70,
      unit: 'kB',
    },
  ];
}

export const isMet = ({measured, limit, least}: Aim): boolean =>
  measured !== null && (least === true ? measured >= limit : measured <= limit);

export function checkTable(all: readonly Aim[]): Table {
  return {
    title: 'Aims',
    columns: ['what', 'aim', 'measured', 'ok'],
    rows: all.map((aim) => {
      const {what, measured, limit, least, unit} = aim;
      const shown = (value: number): string => `${Number(value.toPrecision(3))} ${unit}`;
      return [
        what,
        `${least === true ? 'at least' : 'at most'} ${shown(limit)}`,
        measured === null ? 'not measured' : shown(measured),
        isMet(aim) ? 'yes' : 'NO',
      ];
    }),
  };
}

/** Ours to a peer's, each pair of one round; the median of the rounds. */
function ratio(rows: readonly RoundRow[], load: string, peer: string, of: (row: Row) => number): number | null {
  const same = rows.filter((row) => row.load === load);
  const ratios: number[] = [];
  for (const ours of same.filter((row) => row.peer === US)) {
    const theirs = same.find((row) => row.round === ours.round && row.peer.startsWith(peer));
    if (theirs !== undefined) ratios.push(of(ours) / of(theirs));
  }
  return ratios.length === 0 ? null : median(ratios);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A cell of the table whose title begins so; row -1 is the last. */
function read(tables: readonly Table[], title: string, row: number, column: string): number | null {
  const table = tables.find((one) => one.title.startsWith(title));
  const value = table?.rows.at(row)?.[table.columns.indexOf(column)];
  return value === undefined ? null : Number(value);
}
