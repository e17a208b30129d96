import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {describe, expect, test} from '@jest/globals';
import {KINDS, type Kind} from '../../policy/index.ts';
import {CONSTRAINTS} from './constraints.ts';
import {definitionText} from './definitions.ts';
import {structuralSchema} from './structural.ts';

const folder = new URL('../../charts/sallyport/crds/', import.meta.url);

describe('the CustomResourceDefinitions', () => {
  test.each(Object.keys(KINDS) as Kind[])(
    '%s is what charts/sallyport/crds holds (UPDATE_GOLDEN=1 writes it)',
    (kind) => {
      const file = new URL(`${kind.toLowerCase()}.yaml`, folder);
      if (process.env['UPDATE_GOLDEN'] === '1') {
        mkdirSync(folder, {recursive: true});
        writeFileSync(file, definitionText(kind));
      }
      expect(readFileSync(file, 'utf8')).toBe(definitionText(kind));
    },
  );

  test('a pattern is anchored at both ends: the API server searches for it', () => {
    const patterns = Object.values(CONSTRAINTS).flatMap((of) =>
      Object.entries(of).flatMap(([path, {pattern}]) => (pattern === undefined ? [] : [`${path} ${pattern}`])),
    );
    expect(patterns.length).toBeGreaterThan(20);
    expect(patterns.filter((line) => !/ \^.*\$$/.test(line))).toEqual([]);
  });

  test('which constraints were used is told, so that one on a field that moved is noticed', () => {
    const shape = KINDS.UpstreamProxy.shape.fields.spec.shape;
    const {used} = structuralSchema(shape, {'spec.hosts': {maxItems: 1}, 'spec.gone': {maxItems: 1}}, 'spec');
    expect([...used]).toEqual(['spec.hosts']);
  });
});
