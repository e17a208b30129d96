/** Arguments of the commands that take single-letter flags too; the roles' are in runtime/flags.ts. */
import {parseArgs, type ParseArgsOptionsConfig} from 'node:util';
import {closest} from '../runtime/closest.ts';
import {SallyportError} from '../runtime/errors.ts';

const NO_FLAGS: ReadonlySet<string> = new Set();

/**
 * parseArgs with messages that say what to write instead. `-` stands for stdin wherever a value may stand.
 * Throws SallyportError `Usage`.
 */
export function parseStrictly<T extends ParseArgsOptionsConfig>(
  command: string,
  argv: readonly string[],
  options: T,
  mayBeEmpty: ReadonlySet<string> = NO_FLAGS,
): {readonly values: Record<string, unknown>; readonly positionals: string[]} {
  const usage = (message: string, fix: string): SallyportError => new SallyportError('Usage', message, fix);
  // strict: false, because our own messages say more. A lone dash would end the options.
  const {values, positionals, tokens} = parseArgs({
    args: argv.map((arg) => (arg === '-' ? STDIN : arg)),
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (option === undefined) {
      const near = closest(token.name, Object.keys(options));
      throw usage(
        `unknown flag ${token.rawName}`,
        near === null ? `sallyport ${command} --help lists the flags.` : `Did you mean --${near}?`,
      );
    }
    if (option.type === 'boolean' && token.value !== undefined)
      throw usage(`${token.rawName} takes no value`, `Write --${token.name} alone.`);
    const empty = token.value === undefined || (token.value === '' && !mayBeEmpty.has(token.name));
    if (option.type === 'string' && empty)
      throw usage(`${token.rawName} needs a value`, `sallyport ${command} --help shows how it is called.`);
  }
  const restored = Object.entries(values).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.map(dash) : dash(value),
  ]);
  return {
    values: Object.fromEntries(restored) as Record<string, unknown>,
    positionals: positionals.map(dash) as string[],
  };
}

const STDIN = '\0-';
const dash = (value: unknown): unknown => (value === STDIN ? '-' : value);
