/** Script filters: no way out of their process, no way into the verdicts of others. */
import type {Mutant} from './mutant.ts';

const LOCK_DOWN = ['filters/lock-down.test.ts'];

export const FILTER_MUTANTS: readonly Mutant[] = [
  {
    name: 'a filter imports the network',
    guards: 'docs/FILTERS.md: no network, no processes',
    file: 'filters/lock-down.ts',
    find: 'if (!ALLOWED_NAMES.has(name))',
    replace: 'if (false)',
    tests: LOCK_DOWN,
  },
  {
    name: 'a filter imports files outside of its folder',
    guards: 'docs/FILTERS.md: no files but its own',
    file: 'filters/lock-down.ts',
    find: "if (found.url.startsWith('file:') && !found.url.startsWith(folder) && found.url !== READING)",
    replace: 'if (false)',
    tests: LOCK_DOWN,
  },
  {
    name: 'a filter reads the calls of others from the channel, by its descriptor',
    guards: '9: secrets; one filter is no business of another workload',
    file: 'filters/reading.ts',
    find: "if (typeof name === 'string' || name instanceof URL) return name;",
    replace: 'return name as Name;',
    tests: LOCK_DOWN,
  },
  {
    name: 'a filter changes what all objects inherit, and with it the verdicts of others',
    guards: 'POLICY Script filters: no filter is skipped',
    file: 'filters/process.ts',
    find: "      '--frozen-intrinsics',\n",
    replace: '',
    tests: LOCK_DOWN,
  },
  {
    name: 'a filter replaces how events are told, and is handed the real process',
    guards: 'docs/FILTERS.md: no processes, no network',
    file: 'filters/harden.ts',
    find: 'if (prototypes.has(one)) fixPrototype(one);',
    replace: 'if (prototypes.has(one)) continue;',
    tests: LOCK_DOWN,
  },
  {
    name: 'a filter reaches the agent of fetch through a global that was left',
    guards: 'docs/FILTERS.md: no network',
    file: 'filters/globals.ts',
    find: 'if (!Reflect.deleteProperty(globalThis, key) && key !== Symbol.toStringTag)',
    replace: 'if (false)',
    tests: LOCK_DOWN,
  },
  {
    name: 'a filter puts its own JSON in the place of ours',
    guards: 'POLICY Script filters: no filter is skipped',
    file: 'filters/globals.ts',
    find: 'value, writable: false, enumerable: false, configurable: false',
    replace: 'value, writable: true, enumerable: false, configurable: true',
    tests: LOCK_DOWN,
  },
  {
    name: 'what a filter prints is read as fast as it prints',
    guards: '8: bounded everything; log queue',
    file: 'filters/output.ts',
    find: '    stream.pause();\n',
    replace: '',
    tests: ['filters/output.test.ts'],
  },
  {
    name: 'a filter sees the environment of the process that started it',
    guards: '9: secrets; docs/FILTERS.md: an empty environment',
    file: 'filters/lock-down.ts',
    find: 'env: {},',
    replace: 'env: {HOME: "/root"},',
    tests: LOCK_DOWN,
  },
  {
    name: 'a filter’s header with a line break is believed',
    guards: '5: request and response smuggling',
    file: 'filters/field-rules.ts',
    find: '/^[\\t\\x20-\\x7e\\x80-\\xff]*$/',
    replace: '/^[\\t\\r\\n\\x20-\\x7e\\x80-\\xff]*$/',
    tests: ['filters/verdict.test.ts', 'filters/flow.test.ts'],
  },
];
