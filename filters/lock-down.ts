/**
 * The second wall around filters, inside of their process: what can talk, spawn or load native code is taken out of reach.
 * The first walls are Node's permission model (files, processes, workers, add-ons) and the kernel (network, privileges:
 * confine.ts). Node 24's permission model does not restrict the network, so where the kernel's wall is not to be had, this one
 * stops accidents and ordinary code, not a determined author.
 */
import {isBuiltin} from 'node:module';
import type {RegisterHooksOptions} from 'node:module';
import {extname} from 'node:path';

/** Modules without sockets, processes, or a way to such. node:fs reads what the permission model lets it: the filters' directory. */
const ALLOWED: ReadonlySet<string> = new Set(
  [
    ...['assert', 'assert/strict', 'buffer', 'crypto', 'events', 'fs', 'fs/promises', 'path', 'path/posix', 'punycode'],
    ...['querystring', 'string_decoder', 'timers', 'timers/promises', 'url', 'util', 'util/types', 'zlib'],
  ].map((name) => `node:${name}`),
);

/** Whatever a package.json says: CommonJS has `module.constructor`, and through it the loader. */
const FORMATS: ReadonlyMap<string, 'module' | 'module-typescript'> = new Map([
  ['.js', 'module'],
  ['.mjs', 'module'],
  ['.ts', 'module-typescript'],
]);

/** Globals that open connections. */
const NETWORK_GLOBALS = ['fetch', 'WebSocket', 'EventSource', 'BroadcastChannel'] as const;

/** Takes the globals away, and answers the module hooks that refuse the rest. Call after the host's own imports. */
export function lockDown(): Required<RegisterHooksOptions> {
  for (const name of NETWORK_GLOBALS) Reflect.deleteProperty(globalThis, name);
  const {version, versions, platform, arch, hrtime} = process;
  const nextTick = process.nextTick.bind(process);
  // The real one reaches every built-in module (getBuiltinModule, binding), signals and exits.
  Object.defineProperty(globalThis, 'process', {
    value: Object.freeze({version, versions, platform, arch, hrtime, nextTick, env: Object.freeze({})}),
    writable: false,
    configurable: false,
  });
  return {
    resolve(specifier, context, next) {
      const name = specifier.startsWith('node:') ? specifier : `node:${specifier}`;
      if (isBuiltin(specifier) && !ALLOWED.has(name))
        throw new Error(`a filter cannot import ${specifier}: it runs without network, processes and add-ons`);
      return next(specifier, context);
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
