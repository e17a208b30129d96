/**
 * One table describes a role's settings; flags, environment variables and the config file are three spellings of it
 * (DESIGN §8: flag > env > file).
 */
import {parseArgs} from 'node:util';
import {readFileSync} from 'node:fs';
import {parse as parseYaml} from 'yaml';
import {SallyportError} from './errors.ts';
import {closest} from './closest.ts';

export interface FlagSpec {
  /** `text` once, `list` any number of times, `switch` without a value. */
  readonly kind: 'text' | 'list' | 'switch';
  /** How the value is written, for the help: `ADDR:PORT`. */
  readonly value?: string;
  readonly help: string;
}

export type FlagTable = Readonly<Record<string, FlagSpec>>;
export type Settings<T extends FlagTable> = {
  readonly [K in keyof T]: T[K]['kind'] extends 'list'
    ? readonly string[]
    : T[K]['kind'] extends 'switch'
      ? boolean
      : string | null;
};

interface Sources {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The flag that names a YAML config file, if the role has one. */
  readonly configFlag?: string;
  readonly positionals?: boolean;
}

/** Where a setting came from, for messages: `--listen`, `SALLYPORT_LISTEN`, `listen in FILE`. */
export interface Parsed<T extends FlagTable> {
  readonly settings: Settings<T>;
  readonly positionals: readonly string[];
  readonly origin: (name: keyof T & string) => string;
}

const envName = (flag: string): string => `SALLYPORT_${flag.toUpperCase().replaceAll('-', '_')}`;

function usage(message: string, fix: string): SallyportError {
  return new SallyportError('Usage', message, fix);
}

/** Reads the table's settings. Throws SallyportError `Usage` for an unknown flag, key or a value of the wrong kind. */
export function parseFlags<T extends FlagTable>(role: string, table: T, sources: Sources): Parsed<T> {
  const known = Object.keys(table);
  const options = Object.fromEntries(
    known.map((name) => [
      name,
      {
        type: table[name]!.kind === 'switch' ? ('boolean' as const) : ('string' as const),
        multiple: table[name]!.kind === 'list',
      },
    ]),
  );
  // strict: false, because our own messages say what to write instead.
  const {values, positionals, tokens} = parseArgs({
    args: [...sources.argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const spec = table[token.name];
    if (spec === undefined) {
      const near = closest(token.name, known);
      throw usage(
        `unknown flag ${token.rawName}`,
        near === null ? `sallyport ${role} --help lists the flags.` : `Did you mean --${near}?`,
      );
    }
    if (spec.kind === 'switch' && token.value !== undefined)
      throw usage(`${token.rawName} takes no value`, `Write --${token.name} alone.`);
    if (spec.kind !== 'switch' && (token.value === undefined || token.value === ''))
      throw usage(`${token.rawName} needs a value`, `Write --${token.name} ${spec.value ?? 'VALUE'}.`);
  }
  if (positionals.length > 0 && sources.positionals !== true)
    throw usage(
      `unexpected argument ${JSON.stringify(positionals[0])}`,
      `sallyport ${role} --help shows how it is called.`,
    );

  const file = readConfigFile(role, known, sources, values);
  const settings: Record<string, unknown> = {};
  const origins: Record<string, string> = {};
  for (const name of known) {
    const spec = table[name]!;
    const flag = values[name];
    const env = sources.env[envName(name)];
    if (flag !== undefined) {
      settings[name] = spec.kind === 'list' ? (flag as string[]).flatMap(splitList) : flag;
      origins[name] = `--${name}`;
    } else if (env !== undefined && env !== '') {
      settings[name] = fromText(spec, env, envName(name));
      origins[name] = envName(name);
    } else if (file !== null && file.values[name] !== undefined) {
      settings[name] = fromConfig(spec, file.values[name], `${name} in ${file.path}`);
      origins[name] = `${name} in ${file.path}`;
    } else {
      settings[name] = spec.kind === 'list' ? [] : spec.kind === 'switch' ? false : null;
      origins[name] = `--${name}`;
    }
  }
  return {settings: settings as Settings<T>, positionals, origin: (name) => origins[name]!};
}

const splitList = (value: string): string[] =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

function fromText(spec: FlagSpec, value: string, origin: string): unknown {
  if (spec.kind === 'list') return splitList(value);
  if (spec.kind === 'text') return value;
  if (value === 'true' || value === '1') return true;
  if (value === 'false' || value === '0') return false;
  throw usage(`${origin} is ${JSON.stringify(value)}`, 'Write true or false.');
}

function fromConfig(spec: FlagSpec, value: unknown, origin: string): unknown {
  const scalar = (v: unknown): v is string | number => typeof v === 'string' || typeof v === 'number';
  if (spec.kind === 'switch' && typeof value === 'boolean') return value;
  if (spec.kind === 'text' && scalar(value)) return String(value);
  if (spec.kind === 'list' && Array.isArray(value) && value.every(scalar)) return value.map(String);
  if (spec.kind === 'list' && scalar(value)) return splitList(String(value));
  throw usage(
    `${origin} has the wrong kind`,
    `It takes ${spec.kind === 'list' ? 'a list of texts' : spec.kind === 'switch' ? 'true or false' : 'a text'}.`,
  );
}

function readConfigFile(
  role: string,
  known: readonly string[],
  sources: Sources,
  values: Record<string, unknown>,
): {path: string; values: Record<string, unknown>} | null {
  if (sources.configFlag === undefined) return null;
  const path = (values[sources.configFlag] as string | undefined) ?? sources.env[envName(sources.configFlag)];
  if (path === undefined || path === '') return null;
  let content: unknown;
  try {
    content = parseYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new SallyportError(
      'ConfigUnreadable',
      `${path}: ${(cause as Error).message.split('\n')[0]}`,
      'Give --config a readable YAML file.',
      {cause},
    );
  }
  if (content === null) return {path, values: {}};
  if (typeof content !== 'object' || Array.isArray(content))
    throw usage(`${path} is no mapping`, 'Write one `flag-name: value` a line.');
  for (const key of Object.keys(content)) {
    if (known.includes(key) && key !== sources.configFlag) continue;
    const near = closest(key, known);
    throw usage(
      `${path}: unknown key ${JSON.stringify(key)}`,
      near === null ? `sallyport ${role} --help lists the names.` : `Did you mean ${near}?`,
    );
  }
  return {path, values: content as Record<string, unknown>};
}

/** The help text of a role: one line a flag. */
export function helpText(role: string, summary: string, table: FlagTable): string {
  const rows = Object.entries(table).map(([name, spec]) => {
    const left = `  --${name}${spec.kind === 'switch' ? '' : ` ${spec.value ?? 'VALUE'}`}${spec.kind === 'list' ? ' ...' : ''}`;
    return `${left.padEnd(34)} ${spec.help}`;
  });
  return `sallyport ${role}: ${summary}\n\n${rows.join('\n')}\n\nEvery flag is also a key of the --config file and a SALLYPORT_* variable; flag > variable > file.\n`;
}

/** The choice that the value is. Throws SallyportError `Usage`. */
export function oneOf<T extends string>(value: string, choices: readonly T[], origin: string): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw usage(`${origin} is ${JSON.stringify(value)}`, `Write one of ${choices.join(', ')}.`);
  return found;
}

export function wholeNumber(text: string, min: number, max: number, origin: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    throw usage(`${origin} is ${JSON.stringify(text)}`, `Write a whole number from ${min} to ${max}.`);
  return value;
}
