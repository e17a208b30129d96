/** Inputs on disk: `corpus/TARGET/inputs.txt` and `found.txt`, one input a line, as a JSON string of Latin-1 characters. */
import {existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';

export const CORPUS = new URL('./corpus/', import.meta.url).pathname;

/** `inputs`: reach something; `found`: broke something once, and must not again. */
export type Kind = 'inputs' | 'found';

export function readCorpus(target: string, kind: Kind): Buffer[] {
  const path = join(CORPUS, target, `${kind}.txt`);
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Buffer.from(JSON.parse(line) as string, 'latin1'));
}

/** Replaces the file. Shortest first: the reader of the file sees the plain ones on top. */
export function writeCorpus(target: string, kind: Kind, inputs: readonly Buffer[]): void {
  if (inputs.length === 0) return;
  const lines = [...new Set(inputs.map(asLine))].sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  mkdirSync(join(CORPUS, target), {recursive: true});
  writeFileSync(join(CORPUS, target, `${kind}.txt`), `${lines.join('\n')}\n`);
}

/** One line of ASCII, whatever the bytes. */
export function asLine(input: Buffer): string {
  return JSON.stringify(input.toString('latin1')).replace(
    /[\x7f-\xff]/g,
    (char) => `\\u00${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
