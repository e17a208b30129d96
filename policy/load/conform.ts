/** Whether a value has the shape that the schema says: types, unknown and missing fields, closed sets, sizes. */
import type {Field, ObjectShape, Shape} from '../schema/shape.ts';
import {MAX_TEXT_CHARACTERS} from '../schema/limits.ts';
import {closest} from './closest.ts';
import {quote, type Trail} from './trail.ts';

/** What a shape is called in a message. */
const CALLED: Readonly<Record<Shape['kind'], string>> = {
  text: 'a text',
  integer: 'a whole number',
  port: 'a port number or a range such as "8000-8999"',
  list: 'a list',
  map: 'a mapping',
  object: 'a mapping',
  any: 'anything',
};

/** Reports everything that does not conform and returns whether all of it does. `trail` stands on the value. */
export function conform(shape: Shape, value: unknown, trail: Trail): boolean {
  switch (shape.kind) {
    case 'any':
      return true;
    case 'text':
      return typeof value === 'string' ? conformText(shape, value, trail) : wrongType(shape, value, trail);
    case 'integer':
      if (typeof value !== 'number' || !Number.isInteger(value)) return wrongType(shape, value, trail);
      if (value >= shape.from && value <= shape.to) return true;
      trail.error('BadNumber', `${value} is out of range`, `Write a number from ${shape.from} to ${shape.to}.`);
      return false;
    case 'port':
      return typeof value === 'number' || typeof value === 'string' || wrongType(shape, value, trail);
    case 'list':
      return Array.isArray(value) ? conformList(shape, value, trail) : wrongType(shape, value, trail);
    case 'map':
      return isMapping(value) ? conformMap(shape, value, trail) : wrongType(shape, value, trail);
    case 'object':
      return isMapping(value) ? conformObject(shape, value, trail) : wrongType(shape, value, trail);
  }
}

export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrongType(shape: Shape, value: unknown, trail: Trail): false {
  const called = CALLED[shape.kind];
  let found = 'this is a mapping';
  let fix = `Write ${called}.`;
  if (value === null) {
    found = 'nothing is written';
    fix = `Write ${called}, or leave the field out.`;
  } else if (Array.isArray(value)) found = 'this is a list';
  else if (typeof value === 'string') {
    found = 'this is a text';
    if (shape.kind === 'list') fix = `Write [${quote(value)}].`;
  } else if (typeof value === 'number' || typeof value === 'boolean') {
    found = `this is ${value}`;
    if (shape.kind === 'text') fix = `Put it in quotes: "${value}".`;
    if (shape.kind === 'list') fix = `Write [${value}].`;
  }
  trail.error('WrongType', `${called} is expected here, and ${found}`, fix);
  return false;
}

function conformText(shape: Shape & {kind: 'text'}, value: string, trail: Trail): boolean {
  const {oneOf} = shape;
  if (oneOf !== undefined) {
    if (oneOf.includes(value)) return true;
    const near = closest(value, oneOf);
    trail.error(
      'BadValue',
      `${quote(value)} is none of ${oneOf.join(', ')}`,
      near === null ? `Write ${oneOf.join(' or ')}.` : `Did you mean ${near}?`,
    );
    return false;
  }
  const max = shape.maxCharacters ?? MAX_TEXT_CHARACTERS;
  if (value.length > max) {
    trail.error('TooLarge', `${value.length} characters, more than ${max}`, 'Shorten it.');
    return false;
  }
  if (value.length < (shape.minCharacters ?? 0)) {
    trail.error('BadValue', 'the text is empty', 'Write something here.');
    return false;
  }
  return true;
}

function conformList(shape: Shape & {kind: 'list'}, value: readonly unknown[], trail: Trail): boolean {
  if (value.length > shape.maxItems) {
    trail.error(
      'TooLarge',
      `${value.length} entries, more than ${shape.maxItems}`,
      'Split it over several rules or documents.',
    );
    return false;
  }
  if (value.length < (shape.minItems ?? 0)) {
    // It could be read as "any" or as "none", and one of the two opens everything.
    trail.error('EmptyList', 'the list is empty', 'Write an entry, or leave the field out for its default.');
    return false;
  }
  let good = true;
  for (let i = 0; i < value.length; i++) {
    trail.enter(value, i);
    if (!conform(shape.of, value[i], trail)) good = false;
    trail.leave();
  }
  return good;
}

function conformMap(shape: Shape & {kind: 'map'}, value: Readonly<Record<string, unknown>>, trail: Trail): boolean {
  const keys = Object.keys(value);
  if (keys.length > shape.maxEntries) {
    trail.error('TooLarge', `${keys.length} entries, more than ${shape.maxEntries}`, 'Split it over several rules.');
    return false;
  }
  let good = true;
  for (const key of keys) {
    if (value[key] === null && shape.nullable === true) continue;
    trail.enter(value, key);
    if (!conform(shape.of, value[key], trail)) good = false;
    trail.leave();
  }
  return good;
}

/** `skip` are fields that the caller checks itself, one part at a time. */
export function conformObject(
  shape: ObjectShape,
  value: Readonly<Record<string, unknown>>,
  trail: Trail,
  skip: readonly string[] = [],
): boolean {
  let good = true;
  for (const key of Object.keys(value)) {
    trail.enter(value, key);
    const field: Field | undefined = Object.hasOwn(shape.fields, key) ? shape.fields[key] : undefined;
    if (field === undefined) {
      good = false;
      const near = closest(key, Object.keys(shape.fields));
      trail.error(
        'UnknownField',
        `unknown field ${quote(key)}`,
        near === null ? `There are ${fieldNames(shape)}.` : `Did you mean ${near}?`,
        'key',
      );
    } else if (!skip.includes(key) && !conform(field.shape, value[key], trail)) good = false;
    trail.leave();
  }
  for (const name of requiredOf(shape)) {
    if (Object.hasOwn(value, name)) continue;
    good = false;
    trail.error('MissingField', `the field ${name} is missing`, `Add ${name}: ${shape.fields[name]!.doc}`);
  }
  return good;
}

const required = new WeakMap<ObjectShape, readonly string[]>();

/** Worked out once a shape: there are as many rules as a document likes. */
function requiredOf(shape: ObjectShape): readonly string[] {
  let names = required.get(shape);
  if (names === undefined) {
    names = Object.entries(shape.fields)
      .filter(([, field]) => field.required)
      .map(([name]) => name);
    required.set(shape, names);
  }
  return names;
}

function fieldNames(shape: ObjectShape): string {
  const names = Object.entries(shape.fields).filter(([, field]) => field.shape.kind !== 'any');
  return names.map(([name]) => name).join(', ');
}
