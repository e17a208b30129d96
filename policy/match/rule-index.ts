/**
 * Finds the few rules that could match, in the order of decision, without looking at the others.
 *
 * Rules lie in buckets by what they say of the destination: exact host, suffix, `*`, and (without hosts) CIDR. A bucket
 * that grows is divided by port, and then by the literal beginning of the rules' path globs. What comes out still has to
 * be matched; what does not come out cannot match.
 */
import {HTTP, HTTPS, TCP, TLS, type CompiledRule} from '../compile-rule.ts';
import type {PortRange} from '../documents.ts';
import {cidrHolds, type Cidr, type Ip} from './addresses.ts';

type Rules = readonly CompiledRule[];

/** Fewer rules than these are looked at one by one. */
const SMALL = 8;
/** A range of ports up to this wide is entered port by port; a wider one is looked at wherever it is asked for. */
const MAX_PORTS_LISTED = 32;

/** Rules of one destination and port, in the order of decision. */
interface Shelf {
  readonly all: Rules;
  /** Without paths. */
  readonly pathless: Rules;
  /** By the literal beginning of a path glob (a Deny's in lower case); null while there are few. */
  readonly byPath: ReadonlyMap<string, Rules> | null;
  /** The lengths of the keys of byPath, ascending. */
  readonly lengths: readonly number[];
}

interface Bucket {
  /** While there are few: all of them. */
  readonly few: Rules | null;
  readonly byPort: ReadonlyMap<number, Shelf>;
  /** Rules for every port, and for wide ranges. */
  readonly anyPort: Shelf;
}

interface PrefixTable {
  /** A range of this length, for its masks. */
  readonly sample: Cidr;
  readonly byBase: ReadonlyMap<string | number, Bucket>;
}

export interface RuleIndex {
  readonly exact: ReadonlyMap<string, Bucket>;
  readonly suffix: ReadonlyMap<string, Bucket>;
  readonly anyHost: Bucket | null;
  readonly cidrs: readonly PrefixTable[];
  /** All rules with cidrs and without hosts, for who has only a name so far. */
  readonly cidrOnly: Bucket | null;
  /** tcp rules with hosts, which are matched by the addresses of their names. */
  readonly tcpByName: Bucket | null;
  /** Whether an http, https or tls Allow rule covers the port: then the bytes of connections to it are looked at first. */
  readonly looksAt: (port: number) => boolean;
}

/** Lists of rules in the order of decision, to be read as one; filled by the functions below, read by `next`. */
export class Candidates {
  #lists: Rules[] = [];
  #at: number[] = [];
  #last = -1;

  clear(): void {
    this.#lists.length = 0;
    this.#at.length = 0;
    this.#last = -1;
  }

  add(rules: Rules): void {
    if (rules.length === 0) return;
    this.#lists.push(rules);
    this.#at.push(0);
  }

  /** The next rule in the order of decision, each once; null: no more. */
  next(): CompiledRule | null {
    let best: CompiledRule | null = null;
    for (let i = 0; i < this.#lists.length; i++) {
      const list = this.#lists[i]!;
      let at = this.#at[i]!;
      while (at < list.length && list[at]!.order <= this.#last) at++;
      this.#at[i] = at;
      const rule = list[at];
      if (rule !== undefined && (best === null || rule.order < best.order)) best = rule;
    }
    if (best !== null) this.#last = best.order;
    return best;
  }
}

/** `paths`: the readings by which the rules' paths are to match (of an Allow the literal one is enough; of a Deny in lower case); null: any path. */
function fromBucket(bucket: Bucket, port: number, paths: readonly string[] | null, into: Candidates): void {
  if (bucket.few !== null) {
    into.add(bucket.few);
    return;
  }
  const shelf = bucket.byPort.get(port);
  if (shelf !== undefined) fromShelf(shelf, paths, into);
  fromShelf(bucket.anyPort, paths, into);
}

function fromShelf(shelf: Shelf, paths: readonly string[] | null, into: Candidates): void {
  if (paths === null || shelf.byPath === null) {
    into.add(shelf.all);
    return;
  }
  into.add(shelf.pathless);
  for (const path of paths)
    for (const length of shelf.lengths) {
      if (length > path.length) break;
      const rules = shelf.byPath.get(path.slice(0, length));
      if (rules !== undefined) into.add(rules);
    }
}

/** Rules whose hosts may hold the name. `withAny`: those with `*` too. */
export function byName(
  index: RuleIndex,
  name: string,
  withAny: boolean,
  port: number,
  paths: readonly string[] | null,
  into: Candidates,
): void {
  const exact = index.exact.get(name);
  if (exact !== undefined) fromBucket(exact, port, paths, into);
  if (index.suffix.size > 0)
    for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
      const bucket = index.suffix.get(name.slice(dot + 1));
      if (bucket !== undefined) fromBucket(bucket, port, paths, into);
    }
  if (withAny && index.anyHost !== null) fromBucket(index.anyHost, port, paths, into);
}

/** Rules with cidrs alone of which one holds the address. */
export function byAddress(
  index: RuleIndex,
  ip: Ip,
  port: number,
  paths: readonly string[] | null,
  into: Candidates,
): void {
  for (const {sample, byBase} of index.cidrs) {
    if (sample.base.family !== ip.family) continue;
    const bucket = byBase.get(maskedKey(sample, ip));
    if (bucket !== undefined) fromBucket(bucket, port, paths, into);
  }
}

/** All rules with cidrs alone. */
export function byAnyAddress(index: RuleIndex, port: number, paths: readonly string[] | null, into: Candidates): void {
  if (index.cidrOnly !== null) fromBucket(index.cidrOnly, port, paths, into);
}

export function tcpByName(index: RuleIndex, port: number, into: Candidates): void {
  if (index.tcpByName !== null) fromBucket(index.tcpByName, port, null, into);
}

function maskedKey(sample: Cidr, ip: Ip): string | number {
  if (ip.family === 4) return (ip.w3 & sample.m3) >>> 0;
  const {m0, m1, m2, m3} = sample;
  return `${(ip.w0 & m0) >>> 0}.${(ip.w1 & m1) >>> 0}.${(ip.w2 & m2) >>> 0}.${(ip.w3 & m3) >>> 0}`;
}

/** `rules` in the order of decision. */
export function buildIndex(rules: Rules): RuleIndex {
  const exact = new Map<string, CompiledRule[]>();
  const suffix = new Map<string, CompiledRule[]>();
  const anyHost: CompiledRule[] = [];
  const cidrOnly: CompiledRule[] = [];
  const tcpNamed: CompiledRule[] = [];
  const tables = new Map<string, {sample: Cidr; byBase: Map<string | number, CompiledRule[]>}>();
  for (const rule of rules) {
    if (rule.hasHosts) {
      for (const host of rule.exactHosts) push(exact, host, rule);
      for (const one of rule.suffixes) push(suffix, one, rule);
      if (rule.anyHost) anyHost.push(rule);
      if ((rule.schemes & TCP) !== 0 && rule.exactHosts.length > 0) tcpNamed.push(rule);
    } else if (rule.cidrs.length > 0) {
      cidrOnly.push(rule);
      for (const cidr of rule.cidrs) {
        const key = `${cidr.base.family}/${cidr.prefix}`;
        const table = tables.get(key) ?? {sample: cidr, byBase: new Map<string | number, CompiledRule[]>()};
        tables.set(key, table);
        push(table.byBase, maskedKey(cidr, cidr.base), rule);
      }
    }
  }
  return {
    exact: mapValues(exact, bucketOf),
    suffix: mapValues(suffix, bucketOf),
    anyHost: anyHost.length === 0 ? null : bucketOf(anyHost),
    cidrs: [...tables.values()].map(({sample, byBase}) => ({sample, byBase: mapValues(byBase, bucketOf)})),
    cidrOnly: cidrOnly.length === 0 ? null : bucketOf(cidrOnly),
    tcpByName: tcpNamed.length === 0 ? null : bucketOf(tcpNamed),
    looksAt: looksAt(rules.filter(({action}) => action === 'Allow')),
  };
}

function push<K>(map: Map<K, CompiledRule[]>, key: K, rule: CompiledRule): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [rule]);
  else if (list.at(-1) !== rule) list.push(rule);
}

function mapValues<K, A, B>(map: ReadonlyMap<K, A>, change: (value: A) => B): Map<K, B> {
  const out = new Map<K, B>();
  for (const [key, value] of map) out.set(key, change(value));
  return out;
}

/** The ports that the rule can be found under; null: under every port. */
function portsOf(rule: CompiledRule): readonly number[] | null {
  if (rule.ports === null) {
    if (rule.action === 'Deny') return null;
    const ports: number[] = [];
    if ((rule.schemes & (HTTPS | TLS)) !== 0) ports.push(443);
    if ((rule.schemes & HTTP) !== 0) ports.push(80);
    return ports;
  }
  const ports = new Set<number>();
  for (const {from, to} of rule.ports) {
    if (to - from >= MAX_PORTS_LISTED) return null;
    for (let port = from; port <= to; port++) ports.add(port);
  }
  return [...ports];
}

function bucketOf(rules: Rules): Bucket {
  if (rules.length <= SMALL) return {few: rules, byPort: new Map(), anyPort: shelfOf([])};
  const byPort = new Map<number, CompiledRule[]>();
  const anyPort: CompiledRule[] = [];
  for (const rule of rules) {
    const ports = portsOf(rule);
    if (ports === null) anyPort.push(rule);
    else for (const port of ports) push(byPort, port, rule);
  }
  return {few: null, byPort: mapValues(byPort, shelfOf), anyPort: shelfOf(anyPort)};
}

function shelfOf(rules: Rules): Shelf {
  if (rules.length <= SMALL) return {all: rules, pathless: rules, byPath: null, lengths: []};
  const byPath = new Map<string, CompiledRule[]>();
  const pathless: CompiledRule[] = [];
  for (const rule of rules) {
    if (rule.foldedPaths === null) pathless.push(rule);
    else for (const glob of rule.foldedPaths) push(byPath, glob.prefix, rule);
  }
  const lengths = [...new Set([...byPath.keys()].map((key) => key.length))].sort((a, b) => a - b);
  return {all: rules, pathless, byPath, lengths};
}

/** One bit a port: a connection is not read before this is asked, so it must not depend on the number of rules. */
function looksAt(rules: Rules): (port: number) => boolean {
  const bits = new Uint8Array(65536 / 8);
  for (const rule of rules)
    for (const scheme of [HTTPS, HTTP, TLS]) {
      if ((rule.schemes & scheme) === 0) continue;
      for (const {from, to} of rule.ports ?? defaultPorts(rule, scheme))
        for (let port = from; port <= to; port++) bits[port >> 3]! |= 1 << (port & 7);
    }
  return (port) => (bits[port >> 3]! & (1 << (port & 7))) !== 0;
}

function defaultPorts(rule: CompiledRule, scheme: number): readonly PortRange[] {
  if (rule.action === 'Deny') return ANY_PORT;
  return scheme === HTTP ? ON_80 : ON_443;
}

const ANY_PORT: readonly PortRange[] = [{from: 1, to: 65535}];
const ON_80: readonly PortRange[] = [{from: 80, to: 80}];
const ON_443: readonly PortRange[] = [{from: 443, to: 443}];

/** Whether one of the rule's ranges holds the address. */
export function holdsAddress(rule: CompiledRule, ip: Ip): boolean {
  for (const cidr of rule.cidrs) if (cidrHolds(cidr, ip)) return true;
  return false;
}
