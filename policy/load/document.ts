/** One object, from a file or a watch, to a Document or to what is wrong with it. */
import type {Document, Finding, MeshEgressDocument} from '../documents.ts';
import {
  ALL_KINDS,
  API_VERSION,
  type AnyKind,
  type RawClusterEgressPolicy,
  type RawEgressPolicy,
  type RawMeshEgress,
  type RawUpstreamProxy,
} from '../schema/kinds.ts';
import type {ObjectShape} from '../schema/shape.ts';
import {closest} from './closest.ts';
import {conformObject, isMapping} from './conform.ts';
import {readMeshEgress} from './mesh-egress.ts';
import {isDnsLabel, isSubdomain} from './names.ts';
import {readPolicy, readRules} from './policy.ts';
import {nowhere, quote, Trail, type Container, type Key, type Locate} from './trail.ts';
import {readUpstreamProxy} from './upstream-proxy.ts';

export interface ReadDocument {
  /** null: it has errors, or it says how something is to be set up. */
  readonly document: Document | null;
  /** null: it has errors, or it is what decisions are made of. */
  readonly setup: MeshEgressDocument | null;
  readonly findings: readonly Finding[];
}

/**
 * Validates one object. Never throws. `locate` says where its parts stand (default: nowhere); `within` is the list entry
 * that it is, for an object inside of a List.
 */
export function readDocument(
  value: unknown,
  locate: Locate = nowhere(describeObject(value) ?? 'object'),
  within?: {
    readonly container: Container;
    readonly key: Key;
    readonly of: {readonly container: Container; readonly key: Key};
  },
): ReadDocument {
  const trail = new Trail(isMapping(value) ? value : {}, locate);
  trail.object = describeObject(value);
  if (within !== undefined) {
    trail.enter(within.of.container, within.of.key);
    trail.enter(within.container, within.key);
  }
  const document = read(value, trail);
  if (document === null || trail.hasErrors()) return {document: null, setup: null, findings: trail.findings};
  return document.kind === 'MeshEgress'
    ? {document: null, setup: document, findings: trail.findings}
    : {document, setup: null, findings: trail.findings};
}

/** `EgressPolicy default/web`, `UpstreamProxy corp`: as Finding.object names it; null where it cannot be told. */
export function describeObject(value: unknown): string | null {
  if (!isMapping(value) || !isMapping(value['metadata'])) return null;
  const kind = value['kind'];
  const {name, namespace} = value['metadata'];
  if (typeof kind !== 'string' || !Object.hasOwn(ALL_KINDS, kind) || typeof name !== 'string' || !isSubdomain(name))
    return null;
  if (kind !== 'EgressPolicy') return `${kind} ${name}`;
  return typeof namespace === 'string' && isDnsLabel(namespace) ? `${kind} ${namespace}/${name}` : null;
}

function read(value: unknown, trail: Trail): Document | MeshEgressDocument | null {
  if (!isMapping(value)) {
    trail.error('WrongType', 'a document is a mapping', `Begin it with apiVersion: ${API_VERSION}.`);
    return null;
  }
  const kind = readKind(value, trail);
  if (kind === null) return null;
  const shape: ObjectShape = ALL_KINDS[kind].shape;
  // The spec is checked part by part, so that one bad rule does not hide what is wrong with the others.
  let good = conformObject(shape, value, trail, ['spec', 'metadata']);
  good = conformMetadata(kind, value, trail) && good;
  const spec = value['spec'];
  if (!Object.hasOwn(value, 'spec')) return null;
  trail.enter(value, 'spec');
  if (isMapping(spec)) good = conformObject(shape.fields['spec']!.shape as ObjectShape, spec, trail, ['rules']) && good;
  else {
    trail.error('WrongType', 'spec is a mapping', 'Write what the document says under spec.');
    good = false;
  }
  if (good && isMapping(spec) && spec['rules'] !== undefined && !Array.isArray(spec['rules'])) {
    trail.within(spec, 'rules', () =>
      trail.error('WrongType', 'a list is expected here', 'Write one `- name: ...` a rule.'),
    );
    good = false;
  }
  // What is wrong with the rules is said at once too, though the document is refused already.
  else if (!good && isMapping(spec) && Array.isArray(spec['rules']))
    trail.within(spec, 'rules', () => readRules(spec['rules'] as Parameters<typeof readRules>[0], trail));
  trail.leave();
  if (!good) return null;
  switch (kind) {
    case 'MeshEgress':
      return readMeshEgress(value as RawMeshEgress, trail);
    case 'UpstreamProxy':
      return readUpstreamProxy(value as RawUpstreamProxy, trail);
    case 'EgressPolicy':
    case 'ClusterEgressPolicy':
      return readPolicy(value as RawEgressPolicy | RawClusterEgressPolicy, trail);
  }
}

function readKind(value: Readonly<Record<string, unknown>>, trail: Trail): AnyKind | null {
  const kind = value['kind'];
  const apiVersion = value['apiVersion'];
  const missing = (['apiVersion', 'kind'] as const).filter((field) => !Object.hasOwn(value, field));
  for (const field of missing)
    trail.error(
      'MissingField',
      `the field ${field} is missing`,
      `Add ${field}: ${field === 'kind' ? Object.keys(ALL_KINDS).join(' or ') : API_VERSION}.`,
    );
  if (missing.length > 0) return null;
  if (apiVersion !== API_VERSION) {
    trail.within(value, 'apiVersion', () =>
      trail.error(
        'WrongApiVersion',
        `${show(apiVersion)} is no version of this language`,
        `Write apiVersion: ${API_VERSION}.`,
      ),
    );
    return null;
  }
  if (typeof kind === 'string' && Object.hasOwn(ALL_KINDS, kind)) return kind as AnyKind;
  const near = typeof kind === 'string' ? closest(kind, Object.keys(ALL_KINDS)) : null;
  trail.within(value, 'kind', () =>
    trail.error(
      'WrongKind',
      `${show(kind)} is no kind of ${API_VERSION}`,
      near === null ? `There are ${Object.keys(ALL_KINDS).join(', ')}.` : `Did you mean ${near}?`,
    ),
  );
  return null;
}

const show = (value: unknown): string => (typeof value === 'string' ? quote(value) : 'this');

function conformMetadata(kind: AnyKind, value: Readonly<Record<string, unknown>>, trail: Trail): boolean {
  const metadata = value['metadata'];
  if (!Object.hasOwn(value, 'metadata')) return false;
  return trail.within(value, 'metadata', () => {
    if (!isMapping(metadata)) {
      trail.error('WrongType', 'metadata is a mapping', 'Write metadata: {name: ...}.');
      return false;
    }
    const clusterScoped = kind !== 'EgressPolicy';
    if (clusterScoped && Object.hasOwn(metadata, 'namespace')) {
      trail.within(metadata, 'namespace', () =>
        trail.error(
          'ClusterScoped',
          `a ${kind} is in no namespace`,
          kind === 'ClusterEgressPolicy'
            ? 'Leave it out; select with namespaceSelector, or write an EgressPolicy.'
            : 'Leave it out.',
          'key',
        ),
      );
      return false;
    }
    const shape = ALL_KINDS[kind].shape.fields.metadata.shape;
    if (!conformObject(shape, metadata, trail)) return false;
    return (
      checkName(metadata, 'name', isSubdomain, trail) &&
      (clusterScoped || checkName(metadata, 'namespace', isDnsLabel, trail))
    );
  });
}

function checkName(
  metadata: Readonly<Record<string, unknown>>,
  field: 'name' | 'namespace',
  good: (name: string) => boolean,
  trail: Trail,
): boolean {
  const name = metadata[field] as string;
  if (good(name)) return true;
  trail.within(metadata, field, () =>
    trail.error(
      'BadName',
      `${quote(name)} is no ${field} of an object`,
      `Write lower-case letters, digits and "-"${field === 'name' ? ' and "."' : ''}.`,
    ),
  );
  return false;
}
