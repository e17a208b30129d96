/** A file's YAML documents as stretches of its text, and offsets in it as lines and columns. */
import type {Position} from '../documents.ts';

export interface Stretch {
  readonly from: number;
  readonly to: number;
}

/**
 * Cuts at `---`. A line that begins with it and goes on with white space is a document's begin wherever it stands, inside
 * quotes and block scalars too (YAML 1.2.2 §9.1.2, c-forbidden), so this needs no parser; and a document that does not
 * parse leaves the others alone.
 */
export function splitDocuments(text: string): readonly Stretch[] {
  const stretches: Stretch[] = [];
  let from = 0;
  for (let at = text.startsWith('---') ? 0 : next(text, 0); at !== -1; at = next(text, at)) {
    const after = text.charCodeAt(at + 3);
    const begins = Number.isNaN(after) || after === 0x20 || after === 0x09 || after === 0x0a || after === 0x0d;
    if (!begins || at === from) continue;
    stretches.push({from, to: at});
    from = at;
  }
  stretches.push({from, to: text.length});
  return stretches;
}

function next(text: string, from: number): number {
  const at = text.indexOf('\n---', from);
  return at === -1 ? -1 : at + 1;
}

/** Turns offsets in a text into positions; the line starts are found at the first question. */
export class Lines {
  readonly #file: string;
  readonly #text: string;
  #starts: number[] | null = null;

  constructor(file: string, text: string) {
    this.#file = file;
    this.#text = text;
  }

  /** Columns count UTF-16 units, as editors do. */
  position(offset: number): Position {
    const starts = (this.#starts ??= lineStarts(this.#text));
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (starts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return {file: this.#file, line: low + 1, column: offset - starts[low]! + 1};
  }
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}
