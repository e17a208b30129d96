/** Other YAML files, read as strictly as policies are: a shape in, a value or findings with positions out. */
import type {Finding} from '../documents.ts';
import type {ObjectShape, ValueOf} from '../schema/shape.ts';
import {conformObject, isMapping} from './conform.ts';
import type {Source} from './load.ts';
import {Lines} from './split.ts';
import {Trail} from './trail.ts';
import {readYaml} from './yaml.ts';

/**
 * Reads a file of one document. `build` makes what is wanted of it and reports on the trail what a shape cannot say.
 * Never throws; the value is null where there are findings. An empty file is an empty mapping.
 */
export function readShaped<S extends ObjectShape, T>(
  shape: S,
  {file, text}: Source,
  build: (raw: ValueOf<S>, trail: Trail) => T,
): {readonly value: T | null; readonly findings: readonly Finding[]} {
  const [first, second] = readYaml(text, {from: 0, to: text.length}, new Lines(file, text));
  const issues = first?.issues ?? [];
  if (issues.length > 0)
    return {value: null, findings: issues.map((issue) => ({severity: 'error', object: null, ...issue}))};
  const root = first?.value ?? {};
  const trail = new Trail(typeof root === 'object' ? root : {}, first?.locate ?? (() => ({file, line: 1, column: 1})));
  if (second !== undefined) trail.error('BadYaml', 'there is a second document', 'Write one document a file.');
  else if (!isMapping(root)) trail.error('WrongType', 'the file is no mapping', 'Write one `field: value` a line.');
  else if (conformObject(shape, root, trail)) {
    const value = build(root as ValueOf<S>, trail);
    if (!trail.hasErrors()) return {value, findings: trail.findings};
  }
  return {value: null, findings: trail.findings};
}
