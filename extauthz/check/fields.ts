/** Header fields of a CheckRequest as lines. Envoy sends them raw and in order, or as a map with repeated ones joined by commas. */
import type {HeaderLines} from '../../policy/index.ts';
import type {HeaderValue} from '../gen/envoy/config/core/v3/base_pb.js';

export interface Fields {
  /** name, value, … without pseudo-headers, as they were received (or as they were joined). */
  readonly lines: HeaderLines;
  /**
   * The same for the policy: where Envoy joined repeated fields, each piece of a value with a comma is a further line, since
   * it may have been one (POLICY.md "Readings": joined and split). null: more lines than are looked at.
   */
  readonly readings: HeaderLines | null;
  /** `:path` as raw bytes in Latin-1; null: not among the fields. */
  readonly path: string | null;
}

/** Envoy's own default is 100 fields; a value of commas alone must not become thousands. */
export const MAX_LINES = 1_000;

/** Of `header_map` (encode_raw_headers): the lines as they came, duplicates and all. */
export function linesOfRaw(headers: readonly HeaderValue[]): Fields {
  const lines: string[] = [];
  let path: string | null = null;
  for (const {key, value, rawValue} of headers) {
    // An empty field has neither.
    const text = rawValue.length > 0 ? latin1(rawValue) : bytesOf(value);
    if (key.startsWith(':')) {
      if (key === ':path') path = text;
    } else lines.push(key, text);
  }
  return {lines, readings: lines.length > 2 * MAX_LINES ? null : lines, path};
}

/** Of `headers`: one value a name, what was repeated joined. */
export function linesOfMap(headers: Readonly<Record<string, string>>): Fields {
  const lines: string[] = [];
  let pieces: string[] | null = null;
  let count = 0;
  for (const key in headers) {
    if (key.startsWith(':')) continue;
    const value = bytesOf(headers[key]!);
    lines.push(key, value);
    if (++count > MAX_LINES) return {lines, readings: null, path: null};
    if (!value.includes(',')) continue;
    pieces ??= [];
    for (const piece of value.split(',', MAX_LINES + 1)) {
      if (++count > MAX_LINES) return {lines, readings: null, path: null};
      pieces.push(key, piece.trim());
    }
  }
  return {lines, readings: pieces === null ? lines : [...lines, ...pieces], path: null};
}

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

/** The bytes of a UTF-8 text as Latin-1, as a field value is written everywhere else. */
function bytesOf(text: string): string {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return Buffer.from(text).toString('latin1');
  return text;
}
