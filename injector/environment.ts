/** Variables of a container. What its author set is never changed; a twin in the other letter case follows it. */
import type {Container, EnvVar} from './pod.ts';

/**
 * Sets `name` and its lower-case twin. Programs differ in which of the two they read (curl takes only `http_proxy`,
 * since a CGI's `HTTP_PROXY` is a request header: CVE-2016-5385), so both are there and say the same.
 */
export function setPair(container: Container, name: string, value: string): void {
  const twin = name.toLowerCase();
  const authors = find(container, name) ?? find(container, twin);
  for (const spelling of [name, twin]) {
    if (find(container, spelling) !== undefined) continue;
    add(container, authors === undefined ? {name: spelling, value} : {...structuredClone(authors), name: spelling});
  }
}

/** Sets `name`, unless its author did. */
export function setOnce(container: Container, name: string, value: string): void {
  if (find(container, name) === undefined) add(container, {name, value});
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

function find(container: Container, name: string): EnvVar | undefined {
  return container.env?.find((variable) => variable.name === name);
}

function add(container: Container, variable: EnvVar): void {
  (container.env ??= []).push(variable);
}
