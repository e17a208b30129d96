/** What is generated for each version differs where DIFFERENCES says so, and nowhere else; and any name stays a name for YAML 1.1. */
import {readdirSync, readFileSync} from 'node:fs';
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {parseAllDocuments} from 'yaml';
import {loadDocuments, type UpstreamProxyDocument} from '../policy/index.ts';
import {MESH_EGRESS_SPEC} from '../policy/schema/mesh-egress.ts';
import type {Generated} from './objects.ts';
import {translate} from './translate.ts';
import {DIFFERENCES, ISTIO_VERSIONS, REFUSED, type IstioVersion} from './versions.ts';
import {yamlOf} from './yaml.ts';

const folder = new URL('testdata/', import.meta.url);
const GIVEN = readdirSync(folder)
  .filter((file) => file.endsWith('.in.yaml'))
  .map((file) => ({file, text: readFileSync(new URL(file, folder), 'utf8')}))
  .map((one) => ({...one, loaded: loadDocuments([one])}))
  .filter(({loaded}) => loaded.findings.length === 0);

const generated = (one: (typeof GIVEN)[number], version: IstioVersion): readonly Generated[] =>
  made(one, version).objects;

function made({loaded}: (typeof GIVEN)[number], version: IstioVersion): ReturnType<typeof translate> {
  const mesh = loaded.setups[0]!;
  const proxies = loaded.documents.filter((one): one is UpstreamProxyDocument => one.kind === 'UpstreamProxy');
  return translate({...mesh, istio: {...mesh.istio, version}}, proxies);
}

/** A refusal is said where the version is, or where the field is. */
const isFor = ({field}: (typeof REFUSED)[number], path: string): boolean =>
  path === 'spec.istio.version' || path.startsWith(field);

describe('versions of Istio', () => {
  test('the newest and the two before it can be said, and no others', () => {
    expect(MESH_EGRESS_SPEC.fields.istio.shape.fields.version.shape.oneOf).toEqual(ISTIO_VERSIONS);
  });

  test.each(GIVEN.map((one) => [one.file, one] as const))(
    '%s differs between them only where the table says so',
    (_file, one) => {
      const newest = new Map(
        generated(one, '1.31').map(({object}) => [`${object.kind} ${object.metadata.name}`, object]),
      );
      for (const version of ISTIO_VERSIONS) {
        const known = new Set(made(one, '1.31').findings.map(({code}) => code));
        const refused = made(one, version).findings.filter(({code}) => !known.has(code));
        const listed = REFUSED.filter(({versions}) => versions.includes(version));
        expect(
          refused.filter(({code, path}) => !listed.some((entry) => entry.code === code && isFor(entry, path))),
        ).toEqual([]);
        if (refused.length > 0) continue;
        const allowed = DIFFERENCES.filter((entry) => entry.version === version).map(({object}) => object);
        const other = new Map(
          generated(one, version).map(({object}) => [`${object.kind} ${object.metadata.name}`, object]),
        );
        const differing = [...new Set([...newest.keys(), ...other.keys()])].filter(
          (name) => JSON.stringify(newest.get(name)) !== JSON.stringify(other.get(name)),
        );
        expect(differing.filter((name) => !allowed.includes(name))).toEqual([]);
      }
    },
  );

  test.each(REFUSED.flatMap(({versions, field, code}) => versions.map((version) => [field, version, code] as const)))(
    '%s is refused for %s, and made for the newest',
    (field, version, code) => {
      const having = GIVEN.filter(({text}) => text.includes(`${field.replace('spec.', '')}:`));
      const codes = (one: (typeof GIVEN)[number], of: IstioVersion): readonly string[] =>
        made(one, of).findings.map((finding) => finding.code);
      expect(having.some((one) => codes(one, version).includes(code) && !codes(one, '1.31').includes(code))).toBe(true);
    },
  );

  test('no entry of the table is stale', () => {
    for (const {version, object} of DIFFERENCES)
      expect(
        GIVEN.some((one) => {
          const of = (which: IstioVersion): string =>
            JSON.stringify(
              generated(one, which).filter((made) => `${made.object.kind} ${made.object.metadata.name}` === object),
            );
          return of(version) !== of('1.31');
        }),
      ).toBe(true);
  });
});

/** Texts that YAML 1.1 (or the Go library that istiod reads with) takes for something else than a text. */
const WORDS = [
  ...['y', 'Y', 'n', 'N', 'yes', 'Yes', 'YES', 'no', 'No', 'NO', 'on', 'On', 'ON', 'off', 'Off', 'OFF'],
  ...['true', 'True', 'false', 'null', 'Null', 'NULL', '~', '', '0', '010', '0o10', '0x1f', '1_000', '1e3', '+1', '-1'],
  ...[
    '.5',
    '.inf',
    '-.INF',
    '.nan',
    '1:30',
    '190:20:30',
    '2001-01-01',
    '2001-01-01T00:00:00Z',
    '=',
    '<<',
    '!',
    '&a',
    '*',
    '*a',
  ],
  ...[
    '- a',
    '? a',
    'a: b',
    'a #b',
    '#',
    '|',
    '>',
    '%',
    '@',
    '`',
    '"',
    "'",
    '{',
    '[',
    'a\nb',
    ' a',
    'a ',
    '0b11',
    '12e03',
    'é',
    '\u0085',
  ],
];

describe('YAML', () => {
  const text = fc.oneof(
    fc.constantFrom(...WORDS),
    fc.string({unit: 'binary', maxLength: 12}).filter((one) => one.isWellFormed()),
  );
  test('of any texts is read back as the same texts, by 1.1 and by 1.2', () => {
    fc.assert(
      fc.property(text, text, fc.array(text, {maxLength: 4}), (name, key, list) => {
        const object = {
          ...{apiVersion: 'v1', kind: 'Test'},
          metadata: {name, namespace: name, labels: {[key]: name}},
          spec: {list, [key]: key},
        };
        const written = yamlOf([{why: 'because', object}]);
        for (const version of ['1.1', '1.2'] as const) {
          const [document] = parseAllDocuments(written, {version});
          expect(document!.toJS({mapAsMap: false})).toEqual(object);
        }
      }),
      {numRuns: 500},
    );
  });

  test.each(WORDS.filter((word) => /^[a-zA-Z0-9:]+$/.test(word)))('%s is quoted where it is a text', (word) => {
    const object = {
      apiVersion: 'v1',
      kind: 'Test',
      metadata: {name: word, namespace: 'a', labels: {}},
      spec: {[word]: 1},
    };
    const written = yamlOf([{why: 'because', object}]);
    expect(written).toContain(`name: "${word}"`);
    expect(written).toContain(`"${word}": 1`);
  });
});
