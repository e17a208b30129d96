/** Variables of a container. What its author set is never changed; a twin in the other letter case follows it. */
import type {Container, EnvVar} from './pod.ts';

/**
 * Sets `name` and its lower-case twin. Programs differ in which of the two they read (curl takes only `http_proxy`,
 * since a CGI's `HTTP_PROXY` is a request header: CVE-2016-5385), so both are there and say the same. A twin of the author's
 * stands directly behind it, where `$(OTHER)` in its value means what it means there.
 */
export function setPair(container: Container, name: string, value: string): void {
  if (!completePair(container, name)) {
    add(container, {name, value});
    add(container, {name: name.toLowerCase(), value});
  }
}

/** Gives the author's variable its missing twin. False: the author set neither. */
export function completePair(container: Container, name: string): boolean {
  const env = container.env ?? [];
  const spellings = [name, name.toLowerCase()] as const;
  const at = spellings.map((spelling) => lastIndex(env, spelling)) as [number, number];
  const authors = at[0] === -1 ? at[1] : at[0];
  if (authors === -1) return false;
  const missing = at.indexOf(-1);
  if (missing !== -1) env.splice(authors + 1, 0, {...structuredClone(env[authors]!), name: spellings[missing]!});
  return true;
}

/** Sets `name`, unless its author did. Whether it now says `value`. */
export function setOnce(container: Container, name: string, value: string): boolean {
  const there = find(container, name);
  if (there === undefined) add(container, {name, value});
  return there === undefined || there.value === value;
}

/** Sets a variable that others refer to as `$(name)`: the kubelet expands only what stands before. */
export function setFirst(container: Container, name: string, valueFrom: unknown): void {
  if (find(container, name) === undefined) (container.env ??= []).unshift({name, valueFrom});
}

/** What a variable says; null where it is absent or comes from somewhere else. */
export function valueOf(container: Container, name: string): string | null {
  return find(container, name)?.value ?? null;
}

/**
 * Whether any of `names` may come out of a container's `envFrom`, which only the kubelet reads. `env` is before `envFrom`
 * (Kubernetes API, Container v1), so what is set here hides what comes from there.
 */
export function hidesEnvFrom({envFrom}: Container, names: readonly string[]): boolean {
  if (!Array.isArray(envFrom)) return false;
  const prefixes = envFrom.map((source) => (source as {prefix?: string} | null)?.prefix ?? '');
  return names.some((name) => prefixes.some((prefix) => name.startsWith(prefix)));
}

/**
 * Appends `words` to a variable that holds a command line's options. Where one of them has a value already, all are the
 * author's: half of a setting makes no sense beside half of another. Returns false where the author's value comes from
 * somewhere else (`valueFrom`): it cannot be appended to, and replacing it would lose it.
 */
export function appendOptions(container: Container, name: string, words: readonly string[]): boolean {
  const there = find(container, name);
  if (there === undefined) {
    add(container, {name, value: words.join(' ')});
    return true;
  }
  if (there.valueFrom !== undefined) return false;
  const present = (there.value ?? '').split(/\s+/).map(optionOf);
  if (!words.some((word) => present.includes(optionOf(word))))
    there.value = [...(there.value ? [there.value] : []), ...words].join(' ');
  return true;
}

/** `-Dname` of `-Dname=value`. */
const optionOf = (word: string): string => word.split('=', 1)[0]!;

/** Of a name that stands twice the last entry counts: it is the one that the kubelet hands to the program. */
function find(container: Container, name: string): EnvVar | undefined {
  return container.env?.findLast((variable) => variable.name === name);
}

function lastIndex(env: readonly EnvVar[], name: string): number {
  return env.findLastIndex((variable) => variable.name === name);
}

function add(container: Container, variable: EnvVar): void {
  (container.env ??= []).push(variable);
}
