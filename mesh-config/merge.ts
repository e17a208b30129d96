/** Our settings into somebody else's mesh configuration: what it says beside them stays as it is, comments too. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  Scalar,
  stringify,
  YAMLMap,
  type Document,
  type YAMLSeq,
} from 'yaml';
import {SallyportError} from '../runtime/errors.ts';
import type {Settings} from './mesh-settings.ts';

/** `mesh` is the text of the mesh configuration. Throws SallyportError `MeshUnreadable`. */
export function mergeMesh(mesh: string, settings: Settings): string {
  const document = readMapping(mesh, 'the mesh configuration');
  merge(document, [], settings);
  return document.toString({lineWidth: 0});
}

/**
 * `text` is a ConfigMap with the key `mesh`, as `kubectl get cm istio -o yaml` prints it; so is the result.
 * Throws SallyportError `MeshUnreadable`.
 */
export function mergeConfigMap(text: string, settings: Settings): string {
  const document = readMapping(text, 'the file');
  const mesh: unknown = document.getIn(['data', 'mesh']);
  if (document.get('kind') !== 'ConfigMap' || typeof mesh !== 'string')
    throw unreadable(
      'the file is no ConfigMap with the key mesh',
      'kubectl -n istio-system get configmap istio -o yaml',
    );
  const merged = new Scalar(mergeMesh(mesh, settings));
  merged.type = 'BLOCK_LITERAL';
  document.setIn(['data', 'mesh'], merged);
  return document.toString({lineWidth: 0});
}

/** As values of Istio's charts. */
export const helmValues = (settings: Settings): string =>
  stringify({meshConfig: settings}, {lineWidth: 0, compat: 'yaml-1.1'});

function merge(document: Document, path: readonly string[], settings: Settings): void {
  for (const [key, value] of Object.entries(settings)) {
    const at = [...path, key];
    const there = document.getIn(at, true);
    // What it stands for is written somewhere else, and would be lost here or changed there.
    if (isAlias(there)) throw unreadable(`${at.join('.')} is an alias (*${there.source})`, 'kubectl get -o yaml');
    if (isPlainMapping(value) && isMap(there)) merge(document, at, value);
    else if (isNamedList(value) && isSeq(there)) for (const one of value) mergeNamed(document, there, one);
    else if (isScalar(there) && !isPlainMapping(value) && !Array.isArray(value)) there.value = value;
    else document.setIn(at, document.createNode(value));
  }
}

/** An entry of the same name is replaced, and others stay: extensionProviders are everybody's. */
function mergeNamed(document: Document, list: YAMLSeq, entry: {readonly name: string}): void {
  const at = list.items.findIndex((item) => isMap(item) && item.get('name') === entry.name);
  if (at === -1) list.add(document.createNode(entry));
  else list.set(at, document.createNode(entry));
}

const isNamedList = (value: unknown): value is readonly {readonly name: string}[] =>
  Array.isArray(value) && value.every((one) => isPlainMapping(one) && typeof one['name'] === 'string');

const isPlainMapping = (value: unknown): value is Settings =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function readMapping(text: string, what: string): Document {
  const document: Document = parseDocument(text, {version: '1.1', compat: 'yaml-1.1', logLevel: 'silent'});
  const [problem] = document.errors;
  if (problem !== undefined)
    throw unreadable(`${what} is no YAML: ${problem.message.split('\n')[0]}`, 'kubectl get -o yaml');
  // Nothing but comments, which stay.
  if (document.contents === null) document.contents = new YAMLMap(document.schema);
  if (!isMap(document.contents)) throw unreadable(`${what} is no mapping`, 'kubectl get -o yaml');
  return document;
}

const unreadable = (message: string, command: string): SallyportError =>
  new SallyportError('MeshUnreadable', message, `Give the ConfigMap as \`${command}\` prints it.`);
