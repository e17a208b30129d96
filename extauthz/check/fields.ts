/** Header fields of a CheckRequest as lines. Envoy sends them raw and in order, or as a map with repeated ones joined by commas. */
import type {HeaderLines} from '../../policy/index.ts';

/** Names, and values as Latin-1 text. */
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
export function fieldsOfLines(all: HeaderLines): Fields {
  const lines: string[] = [];
  let path: string | null = null;
  for (let i = 0; i + 1 < all.length; i += 2) {
    const name = all[i]!;
    if (name.charCodeAt(0) !== 0x3a) lines.push(name, all[i + 1]!);
    else if (name === ':path') path = all[i + 1]!;
  }
  return {lines, joined: false, tooMany: lines.length > 2 * MAX_LINES, path};
}

/** Of `headers`: one value a name, what was repeated joined. */
export function fieldsOfMap(headers: ReadonlyMap<string, string>): Fields {
  const lines: string[] = [];
  let pieces = 0;
  for (const [name, value] of headers) {
    if (name.charCodeAt(0) === 0x3a) continue;
    lines.push(name, value);
    pieces++;
    for (let at = value.indexOf(','); at !== -1 && pieces <= MAX_LINES; at = value.indexOf(',', at + 1)) pieces++;
  }
  return {lines, joined: true, tooMany: pieces > MAX_LINES, path: null};
}
