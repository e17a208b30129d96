import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {describe, expect, test} from '@jest/globals';
import {jsonSchemaOf, jsonSchemaText} from './json-schema.ts';
import {ALL_KINDS, type AnyKind} from './kinds.ts';

const folder = new URL('../../docs/schema/', import.meta.url);
const fileOf = (kind: AnyKind) => new URL(`${kind}.json`, folder);

describe('the JSON Schemas', () => {
  test.each(Object.keys(ALL_KINDS) as AnyKind[])(
    'docs/schema/%s.json is current (UPDATE_GOLDEN=1 writes it)',
    (kind) => {
      if (process.env['UPDATE_GOLDEN'] === '1') {
        mkdirSync(folder, {recursive: true});
        writeFileSync(fileOf(kind), jsonSchemaText(kind));
      }
      expect(readFileSync(fileOf(kind), 'utf8')).toBe(jsonSchemaText(kind));
    },
  );

  test('every object is closed and every field described', () => {
    let objects = 0;
    const visit = (schema: unknown): void => {
      if (typeof schema !== 'object' || schema === null) return;
      const {type, properties, additionalProperties} = schema as Record<string, unknown>;
      if (type === 'object' && properties !== undefined) {
        objects++;
        expect(additionalProperties).toBe(false);
        for (const [name, property] of Object.entries(properties as object))
          expect([name, typeof (property as {description?: unknown}).description]).toEqual([name, 'string']);
      }
      for (const child of Object.values(schema)) visit(child);
    };
    for (const kind of Object.keys(ALL_KINDS) as AnyKind[]) visit(jsonSchemaOf(kind));
    expect(objects).toBeGreaterThan(20);
  });

  test('what is required and what is not', () => {
    const schema = jsonSchemaOf('EgressPolicy') as {required: string[]; properties: {spec: {required: string[]}}};
    expect(schema.required).toEqual(['apiVersion', 'kind', 'metadata', 'spec']);
    expect(schema.properties.spec.required).toEqual(['podSelector']);
  });
});
