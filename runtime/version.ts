/** Which Sallyport this is. */
import {readFileSync} from 'node:fs';

/** The version of the package that this module is in: two folders up in the package (dist/runtime), one in a checkout. */
export const VERSION: string = readVersion();

function readVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const {name, version} = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as {
        name?: unknown;
        version?: unknown;
      };
      if (name === 'sallyport' && typeof version === 'string') return version;
    } catch {
      // The other one.
    }
  }
  return 'unknown';
}
