/** The version of a program that runs, by the package.json above its file. */
import {readFileSync, realpathSync} from 'node:fs';
import {dirname, join} from 'node:path';

const NAME = 'sallyport';

/** The version of the package that a file is of; null: of none of ours. */
export function versionOf(file: string): string | null {
  for (let folder = dirname(resolved(file)); ; folder = dirname(folder)) {
    try {
      const {name, version} = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>;
      if (name === NAME && typeof version === 'string') return version;
    } catch {
      // Not here.
    }
    if (folder === dirname(folder)) return null;
  }
}

/** A command is a link to its file. */
function resolved(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
