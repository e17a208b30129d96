import {mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {describe, expect, test} from '@jest/globals';
import {KINDS} from '../../policy/index.ts';
import {CONSTRAINTS} from './constraints.ts';
import {definitionTexts} from './definitions.ts';
import {structuralSchema} from './structural.ts';

const folder = new URL('../../charts/sallyport/crds/', import.meta.url);

describe('the CustomResourceDefinitions', () => {
  test.each([...definitionTexts()])(
    '%s is what charts/sallyport/crds holds (UPDATE_GOLDEN=1 writes it)',
    (name, text) => {
      const file = new URL(name, folder);
      if (process.env['UPDATE_GOLDEN'] === '1') {
        mkdirSync(folder, {recursive: true});
        writeFileSync(file, text);
      }
      expect(readFileSync(file, 'utf8')).toBe(text);
    },
  );

  test('and it holds no other', () => {
    expect(readdirSync(folder).sort()).toEqual([...definitionTexts().keys()].sort());
  });

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
