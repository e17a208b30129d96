/**
 * node:fs as filters see it: files of their folder, by name, for reading. Node's permission model looks at names only: by
 * descriptor a filter could read and write the channel that its calls and their verdicts go through.
 */
import * as fs from 'node:fs';

type Name = string | URL;
type Encoding = BufferEncoding | {readonly encoding?: BufferEncoding | null} | null | undefined;

function named(name: unknown): Name {
  if (typeof name === 'string' || name instanceof URL) return name;
  throw new TypeError('a filter names a file by its path or URL, not by a descriptor');
}

function encodingOf(options: Encoding): {encoding: BufferEncoding | null} {
  const encoding = typeof options === 'string' ? options : options?.encoding;
  return {encoding: encoding ?? null};
}

export const readFileSync = (name: Name, options?: Encoding): string | Buffer => fs.readFileSync(named(name), encodingOf(options)); // prettier-ignore
export const existsSync = (name: Name): boolean => fs.existsSync(named(name));
export const statSync = (name: Name): fs.Stats => fs.statSync(named(name));
export const readdirSync = (name: Name): string[] => fs.readdirSync(named(name));

export const readFile = async (name: Name, options?: Encoding): Promise<string | Buffer> => fs.promises.readFile(named(name), encodingOf(options)); // prettier-ignore
export const stat = async (name: Name): Promise<fs.Stats> => fs.promises.stat(named(name));
export const readdir = async (name: Name): Promise<string[]> => fs.promises.readdir(named(name));

/** node:fs/promises has the same names; who asks for one of the other module gets a Promise or does not. */
export const promises = Object.freeze({readFile, stat, readdir});

export default Object.freeze({readFileSync, existsSync, statSync, readdirSync, readFile, stat, readdir, promises});
