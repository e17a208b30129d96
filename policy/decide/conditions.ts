/** What a rule asks of a request beyond its destination: http fields and `when`, judged in every reading. */
import type {ConditionInput, ConditionRequest} from '../cel/condition.ts';
import type {CompiledRule, NamedGlob} from '../compile-rule.ts';
import type {EgressRequest, HttpRequest, Workload} from '../request.ts';
import {matchGlob, type Glob} from '../match/globs.ts';
import {MAX_READINGS, isQueryAmbiguous, readQuery, type QueryReading} from '../match/readings.ts';
import type {Readings, Subject} from './subject.ts';

/** The parts of a question that conditions read, taken apart as far as a rule asks for them. */
export class View {
  readonly subject: Subject;
  readonly workload: Workload;
  readonly sni: string | null;
  readonly scheme: 'https' | 'http';
  readonly http: HttpRequest | null;
  readonly readings: Readings | null;
  /** Header values that may have been joined on the way are split too (POLICY.md "Readings", Envoy). */
  readonly #joined: boolean;
  readonly #literalOnly: boolean;
  #folded: readonly string[] | null = null;
  #queries: readonly QueryReading[] | null = null;
  #headers: Map<string, string[]> | null = null;
  #literal: View | null = null;
  /** A Deny's `when` was judged by the lines of a repeated header. */
  #linesJudgedAlone = false;

  constructor(request: EgressRequest, workload: Workload, subject: Subject, literalOnly: boolean) {
    const {traffic} = request;
    this.subject = subject;
    this.workload = workload;
    this.http = traffic.kind === 'http' || traffic.kind === 'https' ? traffic.http : null;
    this.scheme = traffic.kind === 'http' ? 'http' : 'https';
    this.sni = traffic.kind === 'tls' || traffic.kind === 'https' ? traffic.tls.sni : null;
    const all = subject.readings;
    this.readings =
      literalOnly && all !== null
        ? {methods: all.methods.slice(0, 1), paths: all.paths.slice(0, 1), queries: all.queries.slice(0, 1)}
        : all;
    this.#joined = this.http?.linesJoined === true && !literalOnly;
    this.#literalOnly = literalOnly;
  }

  /** The same question with the literal reading only. */
  literal(request: EgressRequest): View {
    return (this.#literal ??= new View(request, this.workload, this.subject, true));
  }

  /** Whether a reading beside the literal one may exist. */
  get ambiguous(): boolean {
    if (this.#literalOnly || this.readings === null || this.http === null) return false;
    const {methods, paths, queries} = this.readings;
    if (methods.length > 1 || paths.length > 1 || queries.length > 1 || this.#joined) return true;
    return isQueryAmbiguous(this.http.query) || this.#linesJudgedAlone;
  }

  /** Paths for a Deny's index and comparison: lower-case. */
  foldedPaths(): readonly string[] {
    return (this.#folded ??= this.readings!.paths.map((path) => path.toLowerCase()));
  }

  queries(): readonly QueryReading[] {
    if (this.#queries !== null) return this.#queries;
    const all = this.readings!.queries.flatMap((query) => readQuery(query));
    this.#queries = this.#literalOnly ? all.slice(0, 1) : all;
    return this.#queries;
  }

  /** Lower-case names to their lines. */
  headers(): Map<string, string[]> {
    if (this.#headers !== null) return this.#headers;
    const out = new Map<string, string[]>();
    const lines = this.http!.headers;
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const name = lines[i]!.toLowerCase();
      const values = out.get(name);
      if (values === undefined) out.set(name, [lines[i + 1]!]);
      else values.push(lines[i + 1]!);
    }
    this.#headers = out;
    return out;
  }

  headerValues(name: string): readonly string[] {
    const values = this.headers().get(name) ?? [];
    if (!this.#joined || !values.some((value) => value.includes(','))) return values;
    return [...values, ...values.flatMap((value) => value.split(',').map((part) => part.trim()))];
  }

  /** What `when` sees; `ip` null: not known. */
  input(request: ConditionRequest | null, ip: string | null): ConditionInput {
    const {namespace, name, labels, serviceAccount} = this.workload;
    return {
      request,
      source: {namespace, name, labels, serviceAccount},
      destination: {ip, port: this.subject.port},
      tls: {sni: this.sni},
    };
  }

  /** The request in every reading that `when` is to be judged in; null: too many. */
  conditionRequests(deny: boolean, needsHeaders: boolean): readonly ConditionRequest[] | null {
    const {methods, paths} = this.readings!;
    const queries = this.queries();
    const headers = needsHeaders ? this.headerMaps(deny && !this.#literalOnly) : NO_HEADERS;
    if (headers === null || methods.length * paths.length * queries.length * headers.length > MAX_CONDITION_READINGS)
      return null;
    const out: ConditionRequest[] = [];
    for (const method of methods)
      for (const path of paths)
        for (const query of queries)
          for (const map of headers)
            out.push({
              method,
              scheme: this.scheme,
              host: this.subject.text,
              port: this.subject.port,
              path,
              query,
              headers: map,
            });
    return out;
  }

  /** Lines of one header joined; for a Deny each line of a repeated one alone as well. null: too many. */
  private headerMaps(alone: boolean): readonly ReadonlyMap<string, string>[] | null {
    const joined = new Map<string, string>();
    let repeated: [string, string[]][] | null = null;
    for (const [name, values] of this.headers()) {
      joined.set(name, values.length === 1 ? values[0]! : values.join(', '));
      const split = this.#joined ? values.flatMap((value) => value.split(',').map((part) => part.trim())) : values;
      if (alone && split.length > 1) (repeated ??= []).push([name, split]);
    }
    let maps: ReadonlyMap<string, string>[] = [joined];
    if (repeated !== null) this.#linesJudgedAlone = true;
    for (const [name, values] of repeated ?? []) {
      if (maps.length * (values.length + 1) > MAX_READINGS) return null;
      maps = maps.flatMap((map) => [map, ...values.map((value) => new Map(map).set(name, value))]);
    }
    return maps;
  }
}

/** Evaluations of one condition on one request; a request with more readings than this matches every Deny and no Allow. */
const MAX_CONDITION_READINGS = 256;

const NO_HEADERS: readonly ReadonlyMap<string, string>[] = [new Map()];

/** Whether the http fields hold: for an Allow in all readings, for a Deny in any. Only of a question with a request. */
export function matchesHttp(rule: CompiledRule, view: View): boolean {
  const deny = rule.action === 'Deny';
  const {methods, paths} = rule;
  if (methods !== null) {
    const asked = view.readings!.methods;
    if (deny ? !asked.some((method) => methods.has(method)) : !asked.every((method) => methods.has(method)))
      return false;
  }
  if (paths !== null && !matchesPaths(rule, view)) return false;
  for (const condition of rule.headers)
    if (!matchesValues(condition, view.headerValues(condition.name), deny)) return false;
  if (rule.query.length > 0 && !matchesQuery(rule, view)) return false;
  return true;
}

function matchesPaths(rule: CompiledRule, view: View): boolean {
  const literal = rule.paths!;
  const any = (globs: readonly Glob[], path: string): boolean => {
    for (const glob of globs) if (matchGlob(glob, path)) return true;
    return false;
  };
  if (rule.action === 'Allow') {
    for (const path of view.readings!.paths) if (!any(literal, path)) return false;
    return true;
  }
  const folded = rule.foldedPaths!;
  for (const path of view.foldedPaths()) if (any(folded, path)) return true;
  return false;
}

/** An Allow needs the name, and every value to match; a Deny any value. */
function matchesValues({glob}: NamedGlob, values: readonly string[], deny: boolean): boolean {
  if (glob === null) return values.length === 0;
  if (deny) return values.some((value) => matchGlob(glob, value));
  return values.length > 0 && values.every((value) => matchGlob(glob, value));
}

function matchesQuery(rule: CompiledRule, view: View): boolean {
  const deny = rule.action === 'Deny';
  const holds = (query: QueryReading): boolean =>
    rule.query.every((condition) => matchesValues(condition, query.get(condition.name) ?? [], deny));
  return deny ? view.queries().some(holds) : view.queries().every(holds);
}

/**
 * Whether `when` holds: an Allow's must be true in all readings, a Deny's true or unknown in any.
 * `ip`: the address to be judged; null: not known (then what depends on it is unknown).
 */
export function matchesWhen(rule: CompiledRule, view: View, ip: string | null): boolean {
  const {when} = rule;
  if (when === null) return true;
  const deny = rule.action === 'Deny';
  if (!when.needsRequest || view.http === null) {
    const truth = when.evaluate(view.input(null, ip));
    return deny ? truth !== false : truth === true;
  }
  const requests = view.conditionRequests(deny, when.needsHeaders);
  if (requests === null) return deny;
  for (const request of requests) {
    const truth = when.evaluate(view.input(request, ip));
    if (deny ? truth !== false : truth !== true) return deny;
  }
  return !deny;
}

/** Whether `when` could hold once the request is seen: only a certain false says no. */
export function couldHold(rule: CompiledRule, view: View, ip: string | null): boolean {
  return rule.when === null || rule.when.evaluate(view.input(null, ip)) !== false;
}
