/** The workload table: which pod an address belongs to. From `--workloads FILE`, or from the cluster. */
import {isIP} from 'node:net';
import {LineCounter, parseDocument, isMap, isSeq, type Node} from 'yaml';
import {canonicalAddress, type Address, type Workload} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import {closest} from '../runtime/closest.ts';
import {MAX_PLAIN_PORTS, MTLS_MODES, type MtlsWords} from './mtls-words.ts';
import {readRegularFile} from './regular-file.ts';

/** A workload with where it is plugged in. */
export interface WorkloadEntry {
  readonly workload: Workload;
  readonly ips: readonly Address[];
  /** The pod's interface on the node; null: the one that the route to its address names. */
  readonly interface: string | null;
  readonly guarded: Guarded;
  /** What it says about mTLS between pods; absent: nothing. */
  readonly mtls?: MtlsWords;
}

/**
 * By whom a workload wants to be guarded. `listed`: it is in a file, which says that it is ours. `asked`: a pod that asks for
 * us. `sidecar`: one with a sidecar of the mesh. `unasked`: one that says nothing.
 */
export type Guarded = 'listed' | 'asked' | 'sidecar' | 'unasked';

/** More entries than a node, or a test, ever has. */
const MAX_WORKLOADS = 100_000;

const FIELDS = [
  'ips',
  'interface',
  'node',
  'namespace',
  'namespaceLabels',
  'name',
  'uid',
  'labels',
  'serviceAccount',
  'trustsCa',
  'mtls',
  'mtlsPlainPorts',
] as const;

/** Reads the file. Throws SallyportError `WorkloadsInvalid` with file:line:column. */
export function readWorkloads(file: string): WorkloadEntry[] {
  let text: string;
  try {
    text = readRegularFile(file);
  } catch (cause) {
    throw new SallyportError(
      'WorkloadsUnreadable',
      `--workloads ${file}: ${(cause as Error).message}`,
      'Give --workloads a YAML file that can be read.',
      {cause},
    );
  }
  return parseWorkloads(text, file);
}

/** The same for a text; `file` is for the messages. */
export function parseWorkloads(text: string, file: string): WorkloadEntry[] {
  const lines = new LineCounter();
  const document = parseDocument(text, {lineCounter: lines, prettyErrors: false});
  const bad = (node: Node | null | undefined, message: string, fix: string): SallyportError => {
    const {line, col} = lines.linePos(node?.range?.[0] ?? 0);
    return new SallyportError('WorkloadsInvalid', `${file}:${line}:${col}: ${message}`, fix);
  };
  const syntax = document.errors[0];
  if (syntax !== undefined) {
    const {line, col} = lines.linePos(syntax.pos[0]);
    throw new SallyportError(
      'WorkloadsInvalid',
      `${file}:${line}:${col}: ${syntax.message.split('\n')[0]}`,
      'Write a YAML list of workloads.',
    );
  }
  if (document.contents === null) return [];
  if (!isSeq(document.contents))
    throw bad(document.contents, 'no list', 'Write a YAML list: `- {ips: [...], namespace: ..., name: ...}`.');
  if (document.contents.items.length > MAX_WORKLOADS)
    throw bad(document.contents, `more than ${MAX_WORKLOADS} workloads`, 'Split the file by node.');

  const seen = new Map<Address, string>();
  return document.contents.items.map((item) => {
    if (!isMap(item)) throw bad(item, 'no mapping', 'Write `{ips: [...], namespace: ..., name: ...}`.');
    const nodeOf = (key: string): Node => (item.get(key, true) as Node | undefined) ?? item;
    for (const pair of item.items) {
      const key = String(pair.key);
      if ((FIELDS as readonly string[]).includes(key)) continue;
      const near = closest(key, FIELDS);
      throw bad(
        pair.key,
        `unknown field ${JSON.stringify(key)}`,
        near === null ? `The fields are ${FIELDS.join(', ')}.` : `Did you mean ${near}?`,
      );
    }
    const value = item.toJSON() as Record<string, unknown>;
    const textOr = (key: string, fallback: string | null): string => {
      const v = value[key] ?? fallback;
      if (typeof v !== 'string' || v === '')
        throw bad(nodeOf(key), `${key} is ${v === null ? 'missing' : 'no text'}`, `Write ${key}: NAME.`);
      return v;
    };
    const labels = (key: string): Record<string, string> => {
      const v = value[key] ?? {};
      if (
        typeof v !== 'object' ||
        v === null ||
        Array.isArray(v) ||
        !Object.values(v).every((l) => typeof l === 'string')
      )
        throw bad(nodeOf(key), `${key} is no mapping of texts`, 'Quote values such as "true" and "1".');
      return v as Record<string, string>;
    };
    const rawIps = value.ips;
    if (!Array.isArray(rawIps) || rawIps.length === 0)
      throw bad(nodeOf('ips'), 'ips is missing or empty', 'Write ips: [10.0.0.7] with every address of the pod.');
    const namespace = textOr('namespace', null);
    const name = textOr('name', null);
    const ips = rawIps.map((raw) => {
      const ip = typeof raw === 'string' && isIP(raw) !== 0 ? canonicalAddress(raw) : null;
      if (ip === null)
        throw bad(
          nodeOf('ips'),
          `${JSON.stringify(raw)} is no IP address`,
          'Write IPv4 or IPv6 addresses without a mask.',
        );
      const other = seen.get(ip);
      if (other !== undefined)
        throw bad(nodeOf('ips'), `${ip} belongs to ${other} too`, 'An address has one workload; give each its own.');
      seen.set(ip, `${namespace}/${name}`);
      return ip;
    });
    if (value.trustsCa !== undefined && typeof value.trustsCa !== 'boolean')
      throw bad(nodeOf('trustsCa'), 'trustsCa is neither true nor false', 'Write trustsCa: true.');
    const mtls = mtlsOf(value, (key, message, fix) => bad(nodeOf(key), message, fix));
    return {
      ...(mtls === null ? {} : {mtls}),
      ips,
      interface: value.interface === undefined ? null : textOr('interface', null),
      guarded: 'listed',
      workload: {
        namespace,
        // null, where it is written: not known, so that a policy that looks at them may select it.
        namespaceLabels: value.namespaceLabels === null ? null : labels('namespaceLabels'),
        name,
        uid: textOr('uid', `${namespace}/${name}`),
        labels: labels('labels'),
        serviceAccount: textOr('serviceAccount', 'default'),
        node: value.node === undefined ? null : textOr('node', null),
        trustsCa: value.trustsCa === true,
      },
    };
  });
}

/** What an entry says about mTLS; null: nothing. */
function mtlsOf(
  {mtls, mtlsPlainPorts}: Record<string, unknown>,
  bad: (key: string, message: string, fix: string) => SallyportError,
): MtlsWords | null {
  if (mtls === undefined && mtlsPlainPorts === undefined) return null;
  const mode = MTLS_MODES.find((one) => one === mtls) ?? null;
  if (mtls !== undefined && mode === null)
    throw bad('mtls', `mtls is ${JSON.stringify(mtls)}`, `Write one of ${MTLS_MODES.join(', ')}.`);
  const ports: unknown[] = Array.isArray(mtlsPlainPorts) ? mtlsPlainPorts : [];
  const isPort = (port: unknown): port is number =>
    typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535;
  if (
    (mtlsPlainPorts !== undefined && !Array.isArray(mtlsPlainPorts)) ||
    !ports.every(isPort) ||
    ports.length > MAX_PLAIN_PORTS
  )
    throw bad(
      'mtlsPlainPorts',
      `mtlsPlainPorts is no list of up to ${MAX_PLAIN_PORTS} ports`,
      'Write mtlsPlainPorts: [9090].',
    );
  return {mode, plainPorts: new Set(ports)};
}

/** Lookup by address. */
export function indexWorkloads(entries: readonly WorkloadEntry[]): ReadonlyMap<Address, Workload> {
  const byAddress = new Map<Address, Workload>();
  for (const entry of entries) for (const ip of entry.ips) byAddress.set(ip, entry.workload);
  return byAddress;
}
