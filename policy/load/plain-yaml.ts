/**
 * A fast reader for the YAML that policies are commonly written in: block mappings and lists, flow collections, plain and
 * quoted scalars of one line, comments; JSON with it. It reads 100,000 rules in the time that the `yaml` library takes for
 * a few thousand. Whatever it is not sure of it leaves to the library: it answers null and never guesses, and a property
 * test holds the two together, values and positions.
 */
import {plainScalar, readDoubleQuoted, readSingleQuoted} from './plain-scalars.ts';
import type {Stretch} from './split.ts';

/** Where a container's parts stand: its own offset, then for maps those of each key and value in turn, for lists those of the items. */
type Offsets = number[];

/** Offsets of every container. Few are ever asked for, so finding one is what costs, and keeping them is cheap. */
export class Places {
  readonly #containers: object[] = [];
  readonly #offsets: Offsets[] = [];
  #index: Map<object, Offsets> | null = null;
  #searches = 0;
  #last: object | null = null;
  #lastOffsets: Offsets | undefined;

  add(container: object, at: number): Offsets {
    const offsets = [at];
    this.#containers.push(container);
    this.#offsets.push(offsets);
    return offsets;
  }

  #find(container: object): Offsets | undefined {
    if (this.#searches++ < SEARCHES_WITHOUT_INDEX) {
      const i = this.#containers.indexOf(container);
      return i === -1 ? undefined : this.#offsets[i];
    }
    this.#index ??= new Map(this.#containers.map((one, i) => [one, this.#offsets[i]!]));
    return this.#index.get(container);
  }

  /** The offset of an entry's key or value; of the container itself where `key` is null. undefined: not of this document. */
  offset(container: object, key: string | number | null, part: 'key' | 'value'): number | undefined {
    if (container !== this.#last) {
      this.#last = container;
      this.#lastOffsets = this.#find(container);
    }
    const offsets = this.#lastOffsets;
    if (offsets === undefined || key === null) return offsets?.[0];
    if (typeof key === 'number') return offsets[1 + key] ?? offsets[0];
    // Keys that look like numbers, which objects put first, are left to the library.
    const i = Object.keys(container).indexOf(key);
    return i === -1 ? offsets[0] : offsets[1 + 2 * i + (part === 'key' ? 0 : 1)];
  }
}

/** Containers searched for one by one before an index is worth making: a good document asks for its root and its rules. */
const SEARCHES_WITHOUT_INDEX = 8;

export interface PlainYaml {
  readonly value: unknown;
  readonly places: Places;
}

/** Thrown where the library has to look. */
const UNSURE = new Error('left to the library');
/** More nesting than any policy has. */
const MAX_DEPTH = 32;
/** YAML 1.2.2 §7.4.2 ends implicit keys at 1,024 characters; ours are field names, headers and labels. */
const MAX_KEY_CHARACTERS = 512;

/** The document in the stretch; null: not in the subset, or not valid. */
export function readPlainYaml(text: string, {from, to}: Stretch): PlainYaml | null {
  const reader = new Reader(text, from, to);
  try {
    return reader.read();
  } catch (error) {
    if (error === UNSURE) return null;
    throw error;
  }
}

/** Whether objects would put the key before others. */
function isIndex(key: string): boolean {
  const c = key.charCodeAt(0);
  return c >= 0x30 && c <= 0x39 && String(Number(key)) === key;
}

const SPACE = 0x20;
const LINE_FEED = 0x0a;
const HASH = 0x23;
const COLON = 0x3a;
const DASH = 0x2d;
const COMMA = 0x2c;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_MAP = 0x7b;
const CLOSE_MAP = 0x7d;
const BYTE_ORDER_MARK = 0xfeff;

class Reader {
  readonly #text: string;
  readonly #end: number;
  readonly #places = new Places();
  #at: number;
  /** Where the line of #at begins. */
  #line: number;
  #depth = 0;

  constructor(text: string, from: number, to: number) {
    this.#text = text;
    this.#at = from;
    this.#line = from;
    this.#end = to;
  }

  read(): PlainYaml {
    if (this.#code() === BYTE_ORDER_MARK) throw UNSURE;
    if (this.#text.startsWith('---', this.#at)) {
      this.#at += 3;
      this.#endLine();
    }
    this.#toContent();
    // An empty document is the library's to judge.
    if (this.#at >= this.#end) throw UNSURE;
    const value = this.#block(-1);
    this.#toContent();
    if (this.#at < this.#end || typeof value !== 'object' || value === null) throw UNSURE;
    return {value, places: this.#places};
  }

  #code(): number {
    return this.#at < this.#end ? this.#text.charCodeAt(this.#at) : -1;
  }

  #column(): number {
    return this.#at - this.#line;
  }

  #skipSpaces(): void {
    while (this.#code() === SPACE) this.#at++;
  }

  /** From a token's end to the line's, over spaces and a comment, which a space precedes. */
  #endLine(): void {
    const from = this.#at;
    this.#skipSpaces();
    const code = this.#code();
    if (code === HASH && (this.#at > from || this.#at === this.#line)) {
      const end = this.#text.indexOf('\n', this.#at);
      this.#at = end === -1 || end > this.#end ? this.#end : end;
    } else if (code !== LINE_FEED && code !== -1) throw UNSURE;
    this.#nextLine();
  }

  #nextLine(): void {
    if (this.#code() === LINE_FEED) this.#at++;
    this.#line = this.#at;
  }

  /** To the first character of the next line that says something. At a line's begin. */
  #toContent(): void {
    while (this.#at < this.#end) {
      this.#skipSpaces();
      const code = this.#code();
      if (code !== LINE_FEED && code !== HASH) break;
      this.#endLine();
    }
    // `...` ends a document.
    if (this.#at === this.#line && this.#text.startsWith('...', this.#at)) throw UNSURE;
  }

  /** A node on lines of its own, further right than `parent`. On its first character. */
  #block(parent: number): unknown {
    if (++this.#depth > MAX_DEPTH) throw UNSURE;
    const column = this.#column();
    if (column <= parent) throw UNSURE;
    let value: unknown;
    if (this.#isDash()) value = this.#blockList(column);
    else if (this.#isKey()) value = this.#blockMap(column);
    else value = this.#inline(parent);
    this.#depth--;
    return value;
  }

  #isDash(): boolean {
    if (this.#code() !== DASH) return false;
    const next = this.#at + 1 < this.#end ? this.#text.charCodeAt(this.#at + 1) : LINE_FEED;
    return next === SPACE || next === LINE_FEED;
  }

  /** Whether the line goes on as `key:`. */
  #isKey(): boolean {
    const at = this.#at;
    const code = this.#code();
    if (code === OPEN_LIST || code === OPEN_MAP) return false;
    this.#scalar(false);
    const found = this.#code() === COLON;
    this.#at = at;
    return found;
  }

  #blockMap(column: number): unknown {
    const map: Record<string, unknown> = {};
    const offsets = this.#places.add(map, this.#at);
    for (;;) {
      const keyAt = this.#at;
      const key = this.#key(false);
      const after = this.#text.charCodeAt(this.#at);
      if (this.#at < this.#end && after !== SPACE && after !== LINE_FEED) throw UNSURE;
      if (key === '__proto__' || Object.hasOwn(map, key)) throw UNSURE;
      this.#skipSpaces();
      const code = this.#code();
      if (code === LINE_FEED || code === HASH || code === -1) {
        this.#endLine();
        this.#toContent();
        const next = this.#column();
        if (this.#at < this.#end && (next > column || (next === column && this.#isDash()))) {
          offsets.push(keyAt, this.#at);
          const value = this.#block(next === column ? column - 1 : column);
          // Behind an empty line and a comment the library takes a text on a line of its own for the key of the next one.
          if (value === null || typeof value !== 'object') throw UNSURE;
          map[key] = value;
        } else {
          // Nothing is written, which the reader of the document places at the key.
          offsets.push(keyAt, keyAt);
          map[key] = null;
        }
      } else {
        if (this.#isDash()) throw UNSURE;
        offsets.push(keyAt, this.#at);
        map[key] = this.#inline(column);
      }
      if (!this.#goesOn(column)) return map;
      if (this.#isDash()) throw UNSURE;
    }
  }

  #blockList(column: number): unknown {
    const list: unknown[] = [];
    const offsets = this.#places.add(list, this.#at);
    for (;;) {
      this.#at++;
      this.#skipSpaces();
      const code = this.#code();
      if (code === LINE_FEED || code === HASH || code === -1) throw UNSURE;
      offsets.push(this.#at);
      list.push(this.#block(column));
      if (!this.#goesOn(column)) return list;
      // A key at a list's column ends the list of a mapping at that column.
      if (!this.#isDash()) return list;
    }
  }

  /** After an entry, at a line's begin: whether another one of the same column follows. */
  #goesOn(column: number): boolean {
    this.#toContent();
    if (this.#at >= this.#end || this.#column() < column) return false;
    if (this.#column() > column) throw UNSURE;
    return true;
  }

  /** A scalar or flow collection up to the end of its line. What goes on further right on the next line is not ours. */
  #inline(parent: number): unknown {
    const code = this.#code();
    const flow = code === OPEN_LIST || code === OPEN_MAP;
    const value = flow ? this.#flow(parent) : this.#scalar(false);
    this.#endLine();
    const at = this.#at;
    const line = this.#line;
    this.#toContent();
    if (this.#at < this.#end && this.#column() > parent && !(parent === -1 && flow)) throw UNSURE;
    this.#at = at;
    this.#line = line;
    return value;
  }

  #flow(parent: number): unknown {
    if (++this.#depth > MAX_DEPTH) throw UNSURE;
    const value = this.#code() === OPEN_LIST ? this.#flowList(parent) : this.#flowMap(parent);
    this.#depth--;
    return value;
  }

  #flowList(parent: number): unknown {
    const list: unknown[] = [];
    const offsets = this.#places.add(list, this.#at++);
    this.#skipFlow(parent);
    if (this.#code() === CLOSE_LIST) return (this.#at++, list);
    for (;;) {
      offsets.push(this.#at);
      list.push(this.#flowValue(parent));
      this.#skipFlow(parent);
      const code = this.#code();
      this.#at++;
      if (code === CLOSE_LIST) return list;
      if (code !== COMMA) throw UNSURE;
      this.#skipFlow(parent);
    }
  }

  #flowMap(parent: number): unknown {
    const map: Record<string, unknown> = {};
    const offsets = this.#places.add(map, this.#at++);
    this.#skipFlow(parent);
    if (this.#code() === CLOSE_MAP) return (this.#at++, map);
    for (;;) {
      const keyAt = this.#at;
      const quoted = this.#code() === DOUBLE_QUOTE;
      const key = this.#key(true);
      const after = this.#code();
      // After a quoted key, as in JSON, the value may follow at once.
      if (!quoted && after !== SPACE && after !== LINE_FEED) throw UNSURE;
      if (key === '__proto__' || Object.hasOwn(map, key)) throw UNSURE;
      this.#skipFlow(parent);
      offsets.push(keyAt, this.#at);
      map[key] = this.#flowValue(parent);
      this.#skipFlow(parent);
      const code = this.#code();
      this.#at++;
      if (code === CLOSE_MAP) return map;
      if (code !== COMMA) throw UNSURE;
      this.#skipFlow(parent);
    }
  }

  #flowValue(parent: number): unknown {
    const code = this.#code();
    if (code === OPEN_LIST || code === OPEN_MAP) return this.#flow(parent);
    if (code === COMMA || code === CLOSE_LIST || code === CLOSE_MAP) throw UNSURE;
    return this.#scalar(true);
  }

  /** Over white space, line ends and comments within a flow collection, whose lines stand further right than the block. */
  #skipFlow(parent: number): void {
    let crossed = false;
    for (;;) {
      const from = this.#at;
      this.#skipSpaces();
      const code = this.#code();
      if (code !== LINE_FEED && code !== HASH) break;
      // The library wants a space before a comment here, even at a line's begin.
      if (code === HASH && this.#at === from) throw UNSURE;
      this.#at = from;
      this.#endLine();
      crossed = true;
    }
    if (crossed && (this.#column() <= parent || this.#text.startsWith('...', this.#at))) throw UNSURE;
  }

  /** A text and its colon. */
  #key(flow: boolean): string {
    const from = this.#at;
    const key = this.#scalar(flow);
    if (typeof key !== 'string' || key === '<<' || isIndex(key) || this.#code() !== COLON) throw UNSURE;
    if (this.#at - from > MAX_KEY_CHARACTERS) throw UNSURE;
    this.#at++;
    return key;
  }

  #scalar(flow: boolean): unknown {
    const code = this.#code();
    const read = code === DOUBLE_QUOTE ? readDoubleQuoted : code === SINGLE_QUOTE ? readSingleQuoted : plainScalar;
    const scalar = read(this.#text, this.#at, this.#end, flow);
    if (scalar === null) throw UNSURE;
    this.#at = scalar.end;
    return scalar.value;
  }
}
