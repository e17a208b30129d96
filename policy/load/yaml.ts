/** YAML (and JSON, which is YAML) as plain values whose positions can be asked for. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseAllDocuments,
  type Node as YamlNode,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import type {Position} from '../documents.ts';
import {MAX_NESTING, MAX_VALUES} from '../schema/limits.ts';
import {Lines, type Stretch} from './split.ts';
import {printable, quote, segment, type Container, type Key, type Locate} from './trail.ts';

/** Something wrong with the YAML itself. */
export interface YamlIssue {
  readonly code: string;
  readonly message: string;
  readonly fix: string;
  readonly at: Position;
  readonly path: string;
}

export interface YamlDocument {
  readonly value: unknown;
  readonly locate: Locate;
  /** With issues, the value holds what could be read. */
  readonly issues: readonly YamlIssue[];
}

/** The documents in one stretch of the text: one, but for `...` in it; none where there is nothing but comments. */
export function readYaml(text: string, stretch: Stretch, lines: Lines): readonly YamlDocument[] {
  const at = (offset: number) => lines.position(Math.min(stretch.from + offset, text.length));
  const bad = (message: string, fix: string, offset: number): YamlDocument => ({
    value: null,
    locate: () => at(offset),
    issues: [{code: 'BadYaml', message: printable(message), fix, at: at(offset), path: ''}],
  });
  const source = stretch.from === 0 && stretch.to === text.length ? text : text.slice(stretch.from, stretch.to);
  // A directive belongs to the document after the next `---`, which is another stretch; and YAML 1.1 reads `no` as false.
  const directive = source.startsWith('%') ? 0 : source.indexOf('\n%') + 1;
  if (directive > 0 || source.startsWith('%'))
    return [bad('a % directive', 'Leave the line out: this is read as YAML 1.2.', directive)];
  const tooDeep = () => bad('nested too deeply', `A document has at most ${MAX_NESTING} levels.`, 0);
  try {
    // uniqueKeys compares every key with every other, so duplicates are found below instead.
    const parsed = parseAllDocuments(source, {
      version: '1.2',
      schema: 'core',
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: 'silent',
    });
    if (!Array.isArray(parsed)) return [];
    return parsed.flatMap((document) => {
      const problem = document.errors[0] ?? document.warnings[0];
      // The library recurses, and reports a stack that is used up as an error of the document.
      if (problem?.message.includes('call stack') === true) return [tooDeep()];
      if (problem !== undefined)
        return [
          bad(
            lowerFirst(problem.message),
            'Correct the YAML here; the rest of the document was not read.',
            problem.pos[0],
          ),
        ];
      if (document.contents === null || isEmpty(document.contents)) return [];
      return [new Converter(at).convert(document.contents)];
    });
  } catch (error) {
    if (error instanceof RangeError) return [tooDeep()];
    // Nothing that the library may throw is worth a crash.
    return [
      bad(`not readable: ${lowerFirst(String((error as Error).message).split('\n')[0]!)}`, 'Correct the YAML.', 0),
    ];
  }
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
const isEmpty = (node: unknown): boolean => isScalar(node) && node.value === null && (node.source ?? '') === '';

/** What ends a conversion. */
const STOP = new Error('the document is refused');

class Converter {
  readonly #at: (offset: number) => Position;
  readonly #issues: YamlIssue[] = [];
  readonly #nodes = new Map<Container, YAMLMap | YAMLSeq>();
  /** Aliased values are shared, not copied; their sizes count each time. */
  readonly #anchors = new Map<string, {readonly value: unknown; readonly size: number}>();
  readonly #keys: Key[] = [];
  #values = 0;

  constructor(at: (offset: number) => Position) {
    this.#at = at;
  }

  convert(root: YamlNode): YamlDocument {
    let value: unknown = null;
    try {
      value = this.#value(root);
    } catch (error) {
      if (error !== STOP) throw error;
    }
    return {value, locate: (container, key, part) => this.#locate(root, container, key, part), issues: this.#issues};
  }

  #value(node: unknown): unknown {
    const before = this.#values;
    this.#count(1, node);
    if (isAlias(node)) {
      const anchored = this.#anchors.get(node.source);
      if (anchored === undefined) {
        this.#issue(
          'BadYaml',
          `*${node.source} has no anchor before it`,
          `Write &${node.source} at the value that is meant.`,
          node,
        );
        return null;
      }
      this.#count(anchored.size, node);
      return anchored.value;
    }
    const value = isMap(node) ? this.#map(node) : isSeq(node) ? this.#list(node) : isScalar(node) ? node.value : null;
    const anchor = isMap(node) || isSeq(node) || isScalar(node) ? node.anchor : undefined;
    if (anchor !== undefined) this.#anchors.set(anchor, {value, size: this.#values - before});
    return value;
  }

  #count(values: number, node: unknown): void {
    this.#values += values;
    if (this.#values > MAX_VALUES)
      this.#stop(`more than ${MAX_VALUES} values after aliases`, 'Split the document.', node);
    if (this.#keys.length > MAX_NESTING)
      this.#stop('nested too deeply', `A document has at most ${MAX_NESTING} levels.`, node);
  }

  #map(node: YAMLMap): unknown {
    const value: Record<string, unknown> = {};
    this.#nodes.set(value, node);
    for (const {key, value: entry} of node.items) {
      if (!isScalar(key) || typeof key.value !== 'string') {
        this.#issue('BadYaml', 'a key that is no text', 'Put the key in quotes.', key);
        continue;
      }
      if (Object.hasOwn(value, key.value)) {
        this.#issue(
          'DuplicateKey',
          `the key ${quote(key.value)} is written twice`,
          'Keep one of the two.',
          key,
          key.value,
        );
        continue;
      }
      this.#keys.push(key.value);
      const converted = entry === null ? null : this.#value(entry);
      this.#keys.pop();
      // An own property, also for a key that objects inherit a setter for.
      if (key.value === '__proto__') Object.defineProperty(value, key.value, {value: converted, enumerable: true});
      else value[key.value] = converted;
    }
    return value;
  }

  #list(node: YAMLSeq): unknown {
    const value: unknown[] = [];
    this.#nodes.set(value, node);
    for (const item of node.items) {
      this.#keys.push(value.length);
      value.push(this.#value(item));
      this.#keys.pop();
    }
    return value;
  }

  #issue(code: string, message: string, fix: string, node: unknown, key?: Key): void {
    const keys = key === undefined ? this.#keys : [...this.#keys, key];
    this.#issues.push({
      code,
      message: printable(message),
      fix: printable(fix),
      at: this.#at(startOf(node)),
      path: keys.reduce<string>((path, one) => path + segment(path, one), ''),
    });
  }

  #stop(message: string, fix: string, node: unknown): never {
    this.#issue('TooLarge', message, fix, node);
    throw STOP;
  }

  #locate(root: YamlNode, container: Container, key: Key | null, part: 'key' | 'value'): Position {
    const node = this.#nodes.get(container);
    if (node === undefined || key === null) return this.#at(startOf(node ?? root));
    if (isSeq(node)) return this.#at(startOf(node.items[key as number] ?? node));
    const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key);
    if (pair === undefined) return this.#at(startOf(node));
    return this.#at(
      part === 'key' || pair.value == null || isEmpty(pair.value) ? startOf(pair.key) : startOf(pair.value),
    );
  }
}

function startOf(node: unknown): number {
  const range = (node as {range?: readonly number[] | null} | null | undefined)?.range;
  return range?.[0] ?? 0;
}
