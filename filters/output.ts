/** What comes out of the filters' process as text: lines for the log, and Node's last words when a module does not load. */
import type {Readable} from 'node:stream';
import {pathToFileURL} from 'node:url';

/** A longer line is cut; so many lines a second are logged and the rest counted, so that a filter cannot flood the log. */
const MAX_LINE = 1000;
const MAX_LINES_PER_SECOND = 50;

/** So much is read in a second; then the writer waits, which counts as its time: reading it all would be our CPU. */
const MAX_BYTES_PER_SECOND = 256 * 1024;

/** Reads a stream of `child` no faster than that, as long as the child lives. */
export function throttle(stream: Readable, child: {once(event: 'exit', listener: () => void): unknown}): void {
  let bytes = 0;
  let second = 0;
  let timer: NodeJS.Timeout | null = null;
  let over = false;
  // Not before: the end of a stream that nobody reads is never seen.
  child.once('exit', () => {
    over = true;
    if (timer !== null) clearTimeout(timer);
    stream.resume();
  });
  stream.on('data', (chunk: Buffer) => {
    const now = performance.now();
    if (Math.floor(now / 1000) !== second) bytes = 0;
    second = Math.floor(now / 1000);
    bytes += chunk.length;
    if (over || bytes < MAX_BYTES_PER_SECOND) return;
    stream.pause();
    timer = setTimeout(() => stream.resume(), 1000 - (now % 1000));
    timer.unref();
  });
}

export class LineReader {
  readonly #take: (line: string) => void;
  #line = '';
  #second = 0;
  #lines = 0;
  #dropped = 0;

  constructor(take: (line: string) => void) {
    this.#take = take;
  }

  push(chunk: Buffer): void {
    for (const [i, part] of chunk.toString('utf8').split('\n').entries()) {
      if (i > 0) {
        this.#say(this.#line);
        this.#line = '';
      }
      this.#line = (this.#line + part).slice(0, MAX_LINE);
    }
  }

  #say(line: string): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      const dropped = this.#dropped;
      this.#second = second;
      this.#lines = this.#dropped = 0;
      if (dropped > 0) this.#take(`${dropped} lines more`);
    }
    if (this.#lines++ < MAX_LINES_PER_SECOND) this.#take(line);
    else this.#dropped++;
  }
}

/**
 * `file:line: message` from what Node prints before it ends by an exception; the place is the first one named below `dir`, and
 * `file` where none is. null: no error was printed.
 */
export function failureAt(lines: readonly string[], dir: string, file: string): string | null {
  const message =
    lines.find((line) => /^(?:\w*Error|FATAL ERROR)\b/.test(line)) ?? lines.find((line) => /^Uncaught /.test(line));
  if (message === undefined) return null;
  // How an error is shown whose name is not its own property, as with frozen intrinsics.
  const plain = message.replace(/^Error \[(\w+)\]: /, '$1: ');
  const where = lines.map((line) => placeIn(line, dir)).find((place) => place !== null) ?? file;
  return where === '' ? plain : `${where}: ${plain}`;
}

/** `name.ts:3` of a line that names a place in a file below `dir`, as a path or as a URL; a column is left out. */
function placeIn(line: string, dir: string): string | null {
  for (const folder of [dir, pathToFileURL(dir).pathname]) {
    const at = line.indexOf(`${folder}/`);
    if (at < 0) continue;
    const place = /^[^():]+:\d+/.exec(line.slice(at + folder.length + 1));
    if (place !== null) return place[0];
  }
  return null;
}
