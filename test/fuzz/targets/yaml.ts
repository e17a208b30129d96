/** The fast YAML reader against the library: what it answers, the library answers too, value and positions. */
import {readPlainYaml} from '../../../policy/load/plain-yaml.ts';
import {Lines, splitDocuments} from '../../../policy/load/split.ts';
import {readYaml} from '../../../policy/load/yaml.ts';
import type {YamlDocument} from '../../../policy/load/yaml.ts';
import type {PlainYaml} from '../../../policy/load/plain-yaml.ts';
import {hold, same} from '../target.ts';
import type {Target} from '../target.ts';
import {POLICY_TEXTS, POLICY_WORDS} from './policy-words.ts';

function run(input: Buffer): string {
  const text = input.toString('utf8');
  const stretch = splitDocuments(text)[0]!;
  const plain = readPlainYaml(text, stretch);
  if (plain === null) return 'left to the library';
  const lines = new Lines('f', text);
  const [library, ...more] = readYaml(text, stretch, lines);
  hold(library !== undefined && more.length === 0, 'the library sees no document, or several');
  same('the library refuses it', [], library!.issues);
  compare(plain, library!, lines);
  return shapeOf(plain.value, 0);
}

function compare(plain: PlainYaml, library: YamlDocument, lines: Lines): void {
  const visit = (ours: unknown, theirs: unknown): void => {
    hold(typeof ours === typeof theirs && Array.isArray(ours) === Array.isArray(theirs), 'two values of two types');
    if (typeof ours !== 'object' || ours === null || theirs === null) {
      hold(Object.is(ours, theirs), `two values: ${JSON.stringify(ours)}, ${JSON.stringify(theirs)}`);
      return;
    }
    const at = (key: string | number | null, part: 'key' | 'value'): void => {
      const offset = plain.places.offset(ours, key, part);
      same('two places', offset === undefined ? null : lines.position(offset), library.locate(theirs as object, key, part)); // prettier-ignore
    };
    at(null, 'value');
    same('two sets of keys', Object.keys(ours), Object.keys(theirs as object));
    for (const key of Object.keys(ours)) {
      const name = Array.isArray(ours) ? Number(key) : key;
      if (!Array.isArray(ours)) at(name, 'key');
      at(name, 'value');
      visit((ours as Record<string, unknown>)[key], (theirs as Record<string, unknown>)[key]);
    }
  };
  visit(plain.value, library.value);
}

/** Types and nesting, three levels deep. */
function shapeOf(value: unknown, depth: number): string {
  if (typeof value !== 'object' || value === null) return typeof value === 'string' ? 's' : String(value).slice(0, 1);
  if (depth === 3) return '..';
  const inside = Object.values(value).slice(0, 4).map((one) => shapeOf(one, depth + 1)).join(''); // prettier-ignore
  return Array.isArray(value) ? `[${inside}]` : `{${inside}}`;
}

export const YAML: Target = {
  name: 'yaml',
  reads: 'YAML and JSON, the fast reader against the library',
  covers: ['/policy/load/plain-', '/policy/load/split', '/policy/load/yaml.ts'],
  dictionary: POLICY_WORDS,
  seeds: [
    ...POLICY_TEXTS,
    'a:\n  b:\n  - c\n  - d: e\n    f: g\n',
    'a: {b: [1, "2", c d], "e":f}\n',
    "a: 'it''s'\nb: \"q\\\"\\n\"\n",
    '{"a": [1, true, null], "b": {"c": "d"}}',
  ],
  maxBytes: 1_500,
  run,
};
