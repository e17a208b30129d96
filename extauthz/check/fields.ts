/** Header fields of a CheckRequest as lines. Envoy sends them raw and in order, or as a map with repeated ones joined by commas. */
import type {HeaderLines} from '../../policy/index.ts';
import type {HeaderValue} from '../gen/envoy/config/core/v3/base_pb.js';

export interface Fields {
  /** name, value, … without pseudo-headers, as they were received (or as they were joined). */
  readonly lines: HeaderLines;
  /** Repeated fields came joined by commas, so that each piece of a value may have been a line (POLICY.md "Readings"). */
  readonly joined: boolean;
  /** More lines, or pieces that may have been lines, than are looked at. */
  readonly tooMany: boolean;
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
  return {lines, joined: false, tooMany: lines.length > 2 * MAX_LINES, path};
}

/** Of `headers`: one value a name, what was repeated joined. */
export function linesOfMap(headers: Readonly<Record<string, string>>): Fields {
  const lines: string[] = [];
  let pieces = 0;
  for (const key in headers) {
    if (key.startsWith(':')) continue;
    const value = bytesOf(headers[key]!);
    lines.push(key, value);
    pieces++;
    for (let at = value.indexOf(','); at !== -1 && pieces <= MAX_LINES; at = value.indexOf(',', at + 1)) pieces++;
  }
  return {lines, joined: true, tooMany: pieces > MAX_LINES, path: null};
}

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

/** The bytes of a UTF-8 text as Latin-1, as a field value is written everywhere else. */
function bytesOf(text: string): string {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return Buffer.from(text).toString('latin1');
  return text;
}
