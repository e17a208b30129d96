/**
 * The second wall around filters, inside of their process: what can talk, spawn or load native code is taken out of reach, and
 * what is shared is made unchangeable. The first walls are Node's permission model (files, processes, workers, add-ons) and the
 * kernel (network, privileges: confine.ts). Node 24's permission model does not restrict the network, so where the kernel's wall
 * is not to be had this one stands alone.
 */
import {createRequire, isBuiltin} from 'node:module';
import type {RegisterHooksOptions} from 'node:module';
import {extname} from 'node:path';
import {pathToFileURL} from 'node:url';
import {lockGlobals} from './globals.ts';
import {harden} from './harden.ts';
import {createConsole} from './printing.ts';

/** Modules without sockets, processes, or a way to such. */
const ALLOWED = [
  ...['assert', 'assert/strict', 'buffer', 'crypto', 'events', 'path', 'path/posix', 'punycode', 'querystring'],
  ...['string_decoder', 'timers', 'timers/promises', 'url', 'util', 'util/types', 'zlib'],
] as const;
const ALLOWED_NAMES: ReadonlySet<string> = new Set(ALLOWED.map((name) => `node:${name}`));
/** What filters get for node:fs. */
const READING = new URL(`./reading${extname(import.meta.url)}`, import.meta.url).href;

/** Whatever a package.json says: CommonJS has `module.constructor`, and through it the loader. */
const FORMATS: ReadonlyMap<string, 'module' | 'module-typescript'> = new Map([
  ['.js', 'module'],
  ['.mjs', 'module'],
  ['.ts', 'module-typescript'],
]);

/**
 * Takes away and fixes; answers the module hooks that refuse the rest. Call after the host's own imports, and keep no reference
 * that filters could reach: from here on `process` is a few facts. `dir`: the folder that modules may come from. `used`: what the host goes on using.
 */
export function lockDown(dir: string, used: readonly unknown[]): Required<RegisterHooksOptions> {
  const real = process;
  const require = createRequire(import.meta.url);
  const modules = ALLOWED.map((name) => require(`node:${name}`) as Record<string, unknown>);
  for (const module of modules) settle(module);
  const {version, versions, platform, arch, hrtime} = process;
  const facts = {version, versions: {...versions}, platform, arch, env: {}, hrtime: (from?: [number, number]) => hrtime(from), nextTick: process.nextTick.bind(process)}; // prettier-ignore
  const now = performance.now.bind(performance);
  const own = {process: facts, console: createConsole(), performance: {now, timeOrigin: performance.timeOrigin}};
  const globals = lockGlobals(own);
  // Timers themselves are linked with those of others; it is what they inherit that is shared.
  const timers = [setTimeout(() => undefined, 0), setImmediate(() => undefined)].map((timer): unknown => Object.getPrototypeOf(timer)); // prettier-ignore
  harden([...used, ...modules, ...globals, ...timers, ...Object.values(own)], new Set<unknown>([real, globalThis]));
  const folder = `${pathToFileURL(dir).href}/`;
  return {
    resolve(specifier, context, next) {
      const name = specifier.startsWith('node:') ? specifier : `node:${specifier}`;
      if (isBuiltin(specifier)) {
        if (name === 'node:fs' || name === 'node:fs/promises')
          return context.parentURL === READING ? next(specifier, context) : {url: READING, format: FORMATS.get(extname(READING)), shortCircuit: true}; // prettier-ignore
        if (!ALLOWED_NAMES.has(name))
          throw new Error(`a filter cannot import ${specifier}: it runs without network, processes and add-ons`);
        return next(specifier, context);
      }
      const found = next(specifier, context);
      if (found.url.startsWith('file:') && !found.url.startsWith(folder) && found.url !== READING)
        throw new Error(`a filter cannot import ${specifier}: it is not in the filters' folder`);
      return found;
    },
    load(url, context, next) {
      // Without a package.json Node would have to guess, and take a file without exports for CommonJS.
      const module = next(url, FORMATS.has(extname(url)) ? {...context, format: FORMATS.get(extname(url))} : context);
      const {format} = module;
      if (format !== 'module' && format !== 'module-typescript' && format !== 'json' && format !== 'builtin')
        throw new Error(
          `filters are ES modules (export function request ...), and this is ${format ?? 'something else'}`,
        );
      return module;
    },
  };
}

/** Properties that Node fills in when they are first looked at, which it could not do later. */
function settle(module: Record<string, unknown>): void {
  for (const key of Reflect.ownKeys(module))
    try {
      Reflect.get(module, key);
    } catch {
      // One that cannot be had here is not had later either.
    }
}
