/** `console` as filters see it: lines to standard output. Node's own has the stream in it, and with it a way to make sockets. */
import {writeSync} from 'node:fs';
import {format, inspect} from 'node:util';

const STDOUT = 1;

export function createConsole(): Readonly<Record<string, (...values: unknown[]) => void>> {
  const print = (...values: unknown[]): void => {
    const bytes = Buffer.from(`${format(...values)}\n`);
    for (let at = 0; at < bytes.length;) at += writeSync(STDOUT, bytes, at);
  };
  const dir = (value: unknown): void => print(inspect(value));
  const assert = (held: unknown, ...values: unknown[]): void => {
    if (!held) print('Assertion failed', ...values);
  };
  return Object.freeze({log: print, info: print, debug: print, warn: print, error: print, trace: print, dir, table: dir, group: print, groupEnd: () => undefined, assert}); // prettier-ignore
}
