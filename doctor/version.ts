/** Versions, as package.json has them. */
import {readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const NAME = 'sallyport';

/** The version of the package that a file is of; null: of none of ours. */
export function versionOf(file: string): string | null {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    try {
      const {name, version} = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>;
      if (name === NAME && typeof version === 'string') return version;
    } catch {
      // Not here.
    }
    if (folder === dirname(folder)) return null;
  }
}

/** Ours. */
export const ownVersion = (): string => versionOf(fileURLToPath(import.meta.url)) ?? 'unknown';
