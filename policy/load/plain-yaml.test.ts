import {readdirSync, readFileSync} from 'node:fs';
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {parse, stringify} from 'yaml';
import {readPlainYaml, type PlainYaml} from './plain-yaml.ts';
import {Lines} from './split.ts';
import {readYaml, type YamlDocument} from './yaml.ts';

const whole = (text: string) => ({from: 0, to: text.length});
const fast = (text: string): PlainYaml | null => readPlainYaml(text, whole(text));

/** What the library makes of it. */
function slow(text: string): YamlDocument {
  const documents = readYaml(text, whole(text), new Lines('f', text));
  expect(documents).toHaveLength(1);
  return documents[0]!;
}

/** Values and every position; where the fast reader answers, the library has to answer the same. */
function compare(text: string): boolean {
  const plain = fast(text);
  if (plain === null) return false;
  const library = slow(text);
  expect(library.issues).toEqual([]);
  expect(plain.value).toStrictEqual(library.value);
  const lines = new Lines('f', text);
  const visit = (ours: unknown, theirs: unknown): void => {
    if (typeof ours !== 'object' || ours === null || typeof theirs !== 'object' || theirs === null) return;
    const positions = (key: string | number | null, part: 'key' | 'value') => {
      const offset = plain.places.offset(ours, key, part);
      expect([key, part, offset === undefined ? null : lines.position(offset)]).toEqual([
        key,
        part,
        library.locate(theirs, key, part),
      ]);
    };
    positions(null, 'value');
    if (Array.isArray(ours)) ours.forEach((item, i) => (positions(i, 'value'), visit(item, (theirs as unknown[])[i])));
    else
      for (const key of Object.keys(ours)) {
        positions(key, 'key');
        positions(key, 'value');
        visit((ours as Record<string, unknown>)[key], (theirs as Record<string, unknown>)[key]);
      }
  };
  visit(plain.value, library.value);
  return true;
}

describe('what is read fast', () => {
  test.each([
    'a: b',
    '--- # start\na: b # comment\n# end\n',
    '---\n\n  a: 1\n  b: true\n',
    'a:\n  b:\n  - c\n  - d: e\n    f: g\n  -   h: i\nj:\n- k\nl: m\n',
    'a:\nb: ""\nc: {}\nd: []\n',
    'a: {b: [1, "2", c d], "e":f, g: {h: i}}\n',
    'a: [b,\n  c, # comment\n\n  d]\n',
    '{\n"a": [\n 1,\n 2\n],\n"b": {"c":null}\n}\n',
    '[]',
    '- a\n- - b\n  - c\n-\n  d: e\n'.replace('-\n  d', '- d'),
    "a: 'it''s'\nb: \"q\\\"\\n\"\n'c': d\n\"e\": f\n",
    'ports: [443, "8000-8999", 10.0.0.0/8, 1.2.3.4]\n',
    'url: http://a.test:80/x#y\nwhen: a ? b : c\n'.replace('a ? b : c', 'a==b'),
    'a: -1x\nb: a-b\nc: a#b\nd: a "b"\n',
  ])('%j', (text) => expect(compare(text)).toBe(true));

  test('the policies of the conformance cases, in blocks, in flow and as JSON', () => {
    const folder = new URL('../../test/conformance/cases/', import.meta.url);
    let read = 0;
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
      const {policies = []} = parse(readFileSync(new URL(file, folder), 'utf8')) as {policies?: unknown[]};
      for (const policy of policies)
        for (const text of [
          stringify(policy, {lineWidth: 0}),
          stringify(policy, {collectionStyle: 'flow'}),
          JSON.stringify(policy),
          JSON.stringify(policy, null, 2),
        ])
          if (compare(text)) read++;
    }
    expect(read).toBeGreaterThan(100);
  });
});

describe('what is left to the library', () => {
  test.each([
    '',
    '# nothing',
    'a',
    '"a"',
    'a: &x b',
    'a: *x',
    'a: !t b',
    'a: |\n  b\n',
    'a: >-\n  b\n',
    '? a\n: b\n',
    'a: b\n  c\n',
    'a: "b\n  c"\n',
    'a: b: c',
    'a: - b',
    'a: [b\n]',
    'k:\n  a: [b\n  ]\n',
    'a: [b',
    'a: {b}',
    'a: [b: c]',
    'a: [b,]',
    'a: [,b]',
    'a: [- b]',
    'a : b',
    'a:\tb',
    '\ta: b',
    'a: b\r\n',
    '\uFEFFa: b',
    'a: b\n...\n',
    '...\n',
    '{\n"a": b\n# c\n}',
    '%YAML 1.1\n',
    'a: 1\na: 2',
    '{a: 1, a: 2}',
    '1: a',
    '"1": a',
    '{"443": a}',
    'true: a',
    'null: a',
    '<<: {a: b}',
    '__proto__: a',
    'a: 0x1F',
    'a: 1.5',
    'a: 1e3',
    'a: -1',
    'a: 007',
    'a: .inf',
    'a: ~',
    'a: True',
    'a: "\\u0041"',
    'a: "\\x41"',
    "a: 'b' c",
    'a: "b"c',
    'a: b\n c: d\n',
    'a:\n  b: c\n d: e\n',
    // Found by the fuzzer: "implicit keys need to be on a single line", says the library.
    'a:\n\n#\n a\naa:',
    '- a\nb: c',
    'a: b\n- c',
    'a: "b"#c',
    '-\n  a: b',
    '- ',
    'a: @b',
    'a: `b',
    'a: b\0',
    `a: ${'['.repeat(40)}${']'.repeat(40)}`,
    `${'a'.repeat(600)}: b`,
  ])('%j', (text) => expect(fast(text)).toBeNull());
});

describe('whatever the text', () => {
  const value = fc.letrec<{any: unknown}>((tie) => ({
    any: fc.oneof(
      {maxDepth: 4},
      fc.constantFrom(
        'a',
        'b c',
        '443',
        '10.0.0.0/8',
        '*',
        '*.a.test',
        '/a/**',
        "it's",
        'a: b',
        'a #b',
        '- a',
        '',
        'true',
        'null',
        '~',
        ' a',
        'a ',
        '{',
        '1.5',
        '-',
        '...',
        '---',
        'é',
        'a\nb',
        '"',
      ),
      fc.constantFrom(0, 1, 443, -1, 1.5, true, false, null),
      fc.string({maxLength: 6}),
      fc.array(tie('any'), {maxLength: 3}),
      fc.dictionary(
        fc.oneof(fc.constantFrom('a', 'b', 'rules', 'x-y', 'a b', '1', 'a:b', ''), fc.string({maxLength: 4})),
        tie('any'),
        {maxKeys: 3},
      ),
    ),
  })).any;
  const written = fc
    .tuple(value, fc.constantFrom('block', 'flow', 'json', 'json2', 'indentless'))
    .map(([one, style]) =>
      style === 'json'
        ? JSON.stringify(one)
        : style === 'json2'
          ? JSON.stringify(one, null, 1)
          : stringify(one, {
              lineWidth: 0,
              indentSeq: style !== 'indentless',
              collectionStyle: style === 'flow' ? 'flow' : 'any',
            }),
    );

  test('both read what is written out the same', () => {
    let read = 0;
    fc.assert(
      fc.property(written, (text) => {
        if (compare(text)) read++;
      }),
      {numRuns: 600},
    );
    expect(read).toBeGreaterThan(10);
  });

  test('and what is then broken', () => {
    const pieces = fc.constantFrom(
      '\n',
      ' ',
      '  ',
      '- ',
      '-',
      ': ',
      ':',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      ',',
      ', ',
      '#',
      ' #',
      '\n# c\n',
      '...',
      '\n...\n',
      '?',
      '? ',
      '|',
      '&',
      '*',
      '!',
      '%',
      '\t',
      '\r',
      'a',
      '1',
      '\\',
      '\u00a0',
      '\u2028',
      '\uFEFF',
      '~',
      '.',
      '<<',
    );
    let read = 0;
    fc.assert(
      fc.property(
        fc.oneof(written, fc.constant('a:\n  b:\n  - c: d\n    e: [f, g]\n  - {h: i}\nj: "k"\n')),
        fc.array(fc.record({at: fc.nat(60), cut: fc.nat(2), put: pieces}), {minLength: 1, maxLength: 4}),
        (sample, edits) => {
          const text = edits.reduce(
            (t, {at, cut, put}) => t.slice(0, at % (t.length + 1)) + put + t.slice((at % (t.length + 1)) + cut),
            sample,
          );
          if (/^---/m.test(text.slice(1))) return;
          if (compare(text)) read++;
        },
      ),
      {numRuns: 1500},
    );
    expect(read).toBeGreaterThan(10);
  });
});
