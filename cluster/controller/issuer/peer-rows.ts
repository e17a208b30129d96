/** What pods that speak mTLS by themselves are told of each other: rows, and what changed of them. Pure. */
import type {Address} from '../../../policy/index.ts';
import type {ServiceAddresses} from '../../../sources/service-table.ts';
import type {WorkloadEntry} from '../../../sources/workload-table.ts';

/** As it is written; `key` is the row's own. */
export interface PeerRow {
  readonly key: string;
  readonly ips: readonly Address[];
}
/** A pod with an address. */
export interface PodRow extends PeerRow {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Strict, Permissive, Off; absent: it says nothing. */
  readonly mtls?: string;
  readonly plainPorts?: readonly number[];
}
/** A Service: `key` ends with its name. */
export type ServiceRow = PeerRow & Omit<ServiceAddresses, 'name'>;

/** Pods without an address are nobody's peers. */
export function podRows(entries: readonly WorkloadEntry[]): PodRow[] {
  return entries
    .filter(({ips}) => ips.length > 0)
    .map(({workload: {uid, namespace, serviceAccount}, ips, mtls}) => ({
      ...{key: `pod/${uid}`, ips, namespace, serviceAccount},
      ...(mtls === undefined || mtls.mode === null ? {} : {mtls: mtls.mode}),
      ...(mtls === undefined || mtls.plainPorts.size === 0 ? {} : {plainPorts: [...mtls.plainPorts]}),
    }));
}

export const serviceRows = (services: readonly ServiceAddresses[]): ServiceRow[] =>
  services.map(({name, ...rest}) => ({key: `service/${name}`, ...rest}));

/** The texts of rows by key. */
export type RowTexts = ReadonlyMap<string, string>;
export const textsOf = (rows: readonly PeerRow[]): RowTexts =>
  new Map(rows.map((row) => [row.key, JSON.stringify(row)]));

/** One line: what is new or another, and whose rows are gone; null: nothing. */
export function changeOf(before: RowTexts, after: RowTexts): string | null {
  const put = [...after].filter(([key, text]) => before.get(key) !== text).map(([, text]) => text);
  const gone = [...before.keys()].filter((key) => !after.has(key));
  return put.length === 0 && gone.length === 0 ? null : line(false, put, gone);
}

/** One line: all of them. */
export const wholeOf = (rows: RowTexts): string => line(true, [...rows.values()], []);

const line = (whole: boolean, put: readonly string[], gone: readonly string[]): string =>
  `{"whole":${whole},"put":[${put.join(',')}],"gone":${JSON.stringify(gone)}}\n`;
