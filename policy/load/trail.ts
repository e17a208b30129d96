/** Where the reader is in a document, and what it found there. Paths and positions are worked out only for findings. */
import type {Finding, Position} from '../documents.ts';

/** A mapping or a list of a document. */
export type Container = object;
export type Key = string | number;

/**
 * The position of an entry's key or value; of a container itself, where `key` is null. Plain objects (of a watch) have
 * one position for everything.
 */
export type Locate = (container: Container, key: Key | null, part: 'key' | 'value') => Position;

/** Positions of a value that stood in no file; `name` is shown in their place. */
export const nowhere =
  (name: string): Locate =>
  () => ({file: name, line: 1, column: 1});

export class Trail {
  readonly findings: Finding[] = [];
  /** `EgressPolicy default/web`; null as long as it is not known. */
  object: string | null = null;
  readonly #locate: Locate;
  readonly #root: Container;
  readonly #containers: Container[] = [];
  readonly #keys: Key[] = [];

  constructor(root: Container, locate: Locate) {
    this.#root = root;
    this.#locate = locate;
  }

  enter(container: Container, key: Key): void {
    this.#containers.push(container);
    this.#keys.push(key);
  }

  leave(): void {
    this.#containers.pop();
    this.#keys.pop();
  }

  /** Runs `read` one level deeper. */
  within<T>(container: Container, key: Key, read: () => T): T {
    this.enter(container, key);
    const result = read();
    this.leave();
    return result;
  }

  /** The position of the value that the trail stands on. */
  position(part: 'key' | 'value' = 'value'): Position {
    const container = this.#containers.at(-1);
    return container === undefined
      ? this.#locate(this.#root, null, part)
      : this.#locate(container, this.#keys.at(-1)!, part);
  }

  /** `spec.rules[0].to.hosts[1]`. */
  path(): string {
    return this.#keys.reduce<string>((path, key) => path + segment(path, key), '');
  }

  error(code: string, message: string, fix: string, part: 'key' | 'value' = 'value'): void {
    this.#add('error', code, message, fix, part);
  }

  warning(code: string, message: string, fix: string, part: 'key' | 'value' = 'value'): void {
    this.#add('warning', code, message, fix, part);
  }

  hasErrors(): boolean {
    return this.findings.some((finding) => finding.severity === 'error');
  }

  #add(severity: 'error' | 'warning', code: string, message: string, fix: string, part: 'key' | 'value'): void {
    this.findings.push({
      severity,
      code,
      message: printable(message),
      fix: printable(fix),
      at: this.position(part),
      object: this.object,
      path: this.path(),
    });
  }
}

/** Plain keys after a dot, others in quotes: `set["a b"]`. */
export function segment(path: string, key: Key): string {
  if (typeof key === 'number') return `[${key}]`;
  if (!isPlain(key)) return `[${quote(key)}]`;
  return path === '' ? key : `.${key}`;
}

function isPlain(key: string): boolean {
  if (key === '' || key.length > MAX_QUOTED) return false;
  for (let i = 0; i < key.length; i++) {
    const c = key.charCodeAt(i);
    const letter = (c | 0x20) >= 0x61 && (c | 0x20) <= 0x7a;
    if (!letter && !(c >= 0x30 && c <= 0x39) && c !== 0x2d && c !== 0x5f) return false;
  }
  return true;
}

/** As much of a written value as a message quotes. */
const MAX_QUOTED = 80;

/** A written value for a message: in quotes, control characters escaped, shortened. */
export function quote(written: string): string {
  const shown = written.length > MAX_QUOTED ? `${written.slice(0, MAX_QUOTED)}…` : written;
  return printable(JSON.stringify(shown));
}

/** What a terminal or a log reader might act on is escaped: control characters, and those that turn text around. */
export function printable(text: string): string {
  let out = '';
  for (const character of text) {
    const c = character.codePointAt(0)!;
    out += acts(c) ? `\\u${c.toString(16).padStart(4, '0')}` : character;
  }
  return out;
}

function acts(c: number): boolean {
  if (c < 0x20 || (c >= 0x7f && c <= 0x9f)) return true;
  // Zero-width, line and paragraph separators, bidirectional overrides and isolates, byte order mark, lone surrogates.
  return (
    (c >= 0x200b && c <= 0x200f) ||
    (c >= 0x2028 && c <= 0x202e) ||
    (c >= 0x2066 && c <= 0x2069) ||
    c === 0xfeff ||
    (c >= 0xd800 && c <= 0xdfff)
  );
}
