/** What commands read with -f: files, directories, standard input. */
import {readFileSync} from 'node:fs';
import type {Source} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import {readPolicyFiles} from '../sources/policy-store.ts';

/** `-` is read by this; tests give another. */
export type Stdin = () => string;
const processStdin: Stdin = () => readFileSync(0, 'utf8');

/** The .yaml, .yml and .json files of a PATH. Throws SallyportError `PolicyUnreadable`. */
export function readSources(path: string, stdin: Stdin = processStdin): readonly Source[] {
  try {
    return path === '-' ? [{file: '<stdin>', text: stdin()}] : readPolicyFiles(path);
  } catch (cause) {
    throw new SallyportError(
      'PolicyUnreadable',
      `${path}: ${(cause as Error).message.split('\n')[0]}`,
      'Give -f a file or a directory that can be read.',
      {cause},
    );
  }
}
