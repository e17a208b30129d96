/** The issuer's table of peers as it is told, line by line (cluster/controller/issuer/peer-rows.ts), and what it is to us. Pure. */
import {canonicalAddress, type Address} from '../../policy/index.ts';
import {mtlsModeOf} from '../../sources/mtls-words.ts';
import {serviceTable, type ServiceTable} from '../../sources/service-table.ts';
import type {WorkloadEntry} from '../../sources/workload-table.ts';

type Row = Readonly<Record<string, unknown>> & {readonly key: string};

/** Takes lines, and is the table that they make. */
export class PeerTable {
  #rows = new Map<string, Row>();
  #whole = false;

  /** Whether a whole table has ever been told. */
  get whole(): boolean {
    return this.#whole;
  }

  /** What is told anew begins with a whole table; until it has come the last one holds. Throws where the line is none. */
  take(line: string): void {
    const {whole, put, gone} = JSON.parse(line) as {whole?: unknown; put?: unknown; gone?: unknown};
    if (typeof whole !== 'boolean' || !Array.isArray(put) || !Array.isArray(gone))
      throw new Error('no line of a table');
    if (!whole && !this.#whole) throw new Error('a change of no table');
    const rows = whole ? new Map<string, Row>() : this.#rows;
    for (const row of put as unknown[]) {
      if (typeof row !== 'object' || row === null || typeof (row as Row).key !== 'string') throw new Error('no row');
      rows.set((row as Row).key, row as Row);
    }
    for (const key of gone as unknown[]) rows.delete(String(key));
    this.#rows = rows;
    this.#whole = true;
  }

  /** Those of pods. */
  entries(): WorkloadEntry[] {
    return [...this.#rows.values()].flatMap((row) => {
      const {key, ips, namespace, serviceAccount, mtls, plainPorts} = row;
      if (!key.startsWith('pod/')) return [];
      return {
        ips: addresses(ips),
        interface: null,
        guarded: 'unasked' as const,
        workload: {
          ...{namespace: String(namespace), namespaceLabels: null, name: key, uid: key.slice('pod/'.length)},
          ...{labels: {}, serviceAccount: String(serviceAccount), node: null, trustsCa: false},
        },
        mtls: {mode: typeof mtls === 'string' ? mtlsModeOf(mtls) : null, plainPorts: new Set(numbers(plainPorts))},
      };
    });
  }

  services(): ServiceTable {
    return serviceTable(
      [...this.#rows.values()].flatMap(({key, ips, groups, ports}) => {
        if (!key.startsWith(SERVICE) || !Array.isArray(groups) || !Array.isArray(ports)) return [];
        return {
          ...{name: key.slice(SERVICE.length), ips: addresses(ips), groups: groups.map(addresses)},
          ports: (ports as [unknown, unknown][]).flatMap(portOf),
        };
      }),
    );
  }
}

const SERVICE = 'service/';

function portOf([port, to]: [unknown, unknown]): [number, [number, number][]][] {
  if (typeof port !== 'number' || !Array.isArray(to)) return [];
  const isPair = (pair: unknown): pair is [number, number] => Array.isArray(pair) && numbers(pair).length === 2;
  return [[port, to.filter(isPair)]];
}

function addresses(list: unknown): Address[] {
  return Array.isArray(list) ? list.flatMap((ip) => (typeof ip === 'string' ? (canonicalAddress(ip) ?? []) : [])) : [];
}

const numbers = (list: unknown): number[] =>
  Array.isArray(list) ? list.filter((one): one is number => typeof one === 'number') : [];
