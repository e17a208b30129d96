/** A strict walk over a YAML tree: what is read is claimed, what is left over is an unknown field, with its position. */
import {isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node, type Pair} from 'yaml';

/** Every mistake of one file, as `file:line:column: message`. */
export class CaseError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'CaseError';
    this.problems = problems;
  }
}

interface Source {
  readonly file: string;
  readonly document: Document;
  readonly lines: LineCounter;
  readonly problems: string[];
}

/** One node with the path that led to it. Reading something else than what is there notes a problem and gives a stand-in. */
export class Cursor {
  readonly #source: Source;
  readonly #node: Node | null;
  readonly #anchor: Node | null;
  readonly path: string;

  constructor(source: Source, node: Node | null, anchor: Node | null, path: string) {
    this.#source = source;
    this.#node = isAlias(node) ? (node.resolve(source.document) ?? null) : node;
    this.#anchor = node ?? anchor;
    this.path = path;
  }

  get line(): number {
    return this.#source.lines.linePos(this.#anchor?.range?.[0] ?? 0).line;
  }

  /** Notes a problem at this node. */
  problem(message: string): void {
    this.#problemAt(this.#anchor, message);
  }

  #problemAt(node: Node | null, message: string): void {
    const {line, col} = this.#source.lines.linePos(node?.range?.[0] ?? 0);
    this.#source.problems.push(
      `${this.#source.file}:${line}:${col}: ${this.path === '' ? '' : `${this.path}: `}${message}`,
    );
  }

  get isNull(): boolean {
    return this.#node === null || (isScalar(this.#node) && this.#node.value === null);
  }

  get isList(): boolean {
    return isSeq(this.#node);
  }

  get isMapping(): boolean {
    return isMap(this.#node);
  }

  get isText(): boolean {
    return isScalar(this.#node) && typeof this.#node.value === 'string';
  }

  get isBoolean(): boolean {
    return isScalar(this.#node) && typeof this.#node.value === 'boolean';
  }

  #child(node: unknown, key: string): Cursor {
    const path = key.startsWith('[') ? `${this.path}${key}` : this.path === '' ? key : `${this.path}.${key}`;
    return new Cursor(this.#source, (node as Node | null) ?? null, this.#anchor, path);
  }

  #pairs(): Pair[] {
    if (isMap(this.#node)) return this.#node.items;
    this.problem('this is no mapping');
    return [];
  }

  /** The fields of a mapping: those not in `names` are problems. */
  fields<Name extends string>(names: readonly Name[]): Partial<Record<Name, Cursor>> {
    const found: Partial<Record<Name, Cursor>> = {};
    for (const {key, name, value} of this.#entries()) {
      if ((names as readonly string[]).includes(name)) found[name as Name] = value;
      else this.#problemAt(key, `unknown field ${JSON.stringify(name)}: the fields here are ${names.join(', ')}`);
    }
    return found;
  }

  /** The entries of a mapping whose keys are names that the case chose. */
  entries(): {name: string; value: Cursor}[] {
    return this.#entries().map(({name, value}) => ({name, value}));
  }

  #entries(): {key: Node | null; name: string; value: Cursor}[] {
    return this.#pairs().map((pair) => {
      const key = (pair.key as Node | null) ?? null;
      // A key such as 443 or yes is meant as it is written.
      const name = isScalar(key) ? (key.source ?? String(key.value)) : String(key);
      return {key, name, value: this.#child(pair.value, name)};
    });
  }

  items(): Cursor[] {
    if (isSeq(this.#node)) return this.#node.items.map((item, i) => this.#child(item, `[${i}]`));
    this.problem('this is no list');
    return [];
  }

  text(): string {
    if (isScalar(this.#node) && typeof this.#node.value === 'string') return this.#node.value;
    this.problem('this is no text; put it in quotes');
    return '';
  }

  /** A text, or a number or boolean as it is written: header values and versions. */
  scalarText(): string {
    if (isScalar(this.#node) && this.#node.value !== null) {
      return typeof this.#node.value === 'string'
        ? this.#node.value
        : (this.#node.source ?? JSON.stringify(this.#node.value));
    }
    this.problem('this is no text');
    return '';
  }

  integer(from: number, to: number): number {
    const value = isScalar(this.#node) ? this.#node.value : null;
    if (typeof value === 'number' && Number.isInteger(value) && value >= from && value <= to) return value;
    this.problem(`this is no whole number from ${from} to ${to}`);
    return from;
  }

  number(): number {
    const value = isScalar(this.#node) ? this.#node.value : null;
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
    this.problem('this is no number of seconds');
    return 0;
  }

  boolean(): boolean {
    const value = isScalar(this.#node) ? this.#node.value : null;
    if (typeof value === 'boolean') return value;
    this.problem('this is neither true nor false');
    return false;
  }

  oneOf<Value extends string>(values: readonly Value[]): Value {
    const value = this.scalarText();
    if ((values as readonly string[]).includes(value)) return value as Value;
    this.problem(`${JSON.stringify(value)} is none of ${values.join(', ')}`);
    return values[0]!;
  }

  /** A mapping of texts. */
  texts(): Record<string, string> {
    return Object.fromEntries(this.entries().map(({name, value}) => [name, value.scalarText()]));
  }

  /** The subtree as plain values; a mapping, or a problem. */
  value(): Record<string, unknown> {
    if (isMap(this.#node)) return this.#node.toJS(this.#source.document) as Record<string, unknown>;
    this.problem('this is no mapping');
    return {};
  }
}

/**
 * Reads a text with `read` and throws a CaseError with every problem: bad YAML, unknown fields, and what `read` noted.
 */
export function readStrictly<T>(file: string, text: string, read: (root: Cursor) => T): T {
  const lines = new LineCounter();
  const document = parseDocument(text, {lineCounter: lines, prettyErrors: false});
  const syntax = document.errors.map((error) => {
    const {line, col} = lines.linePos(error.pos[0]);
    return `${file}:${line}:${col}: ${error.message.split('\n')[0]}`;
  });
  if (syntax.length > 0) throw new CaseError(syntax);
  const source: Source = {file, document, lines, problems: []};
  const value = read(new Cursor(source, document.contents, null, ''));
  if (source.problems.length > 0) throw new CaseError(source.problems);
  return value;
}
