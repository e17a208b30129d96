/** Findings that no document alone gives cause for: a `via` that does not exist, a rule in the shadow of another policy's. */
import {checkDocuments, describeObject, type Document, type Finding, type Kind} from '../../policy/index.ts';
import type {ClusterDocument} from '../documents.ts';

/** By `idOf` of the object that each is about. */
export function acrossDocuments(
  kinds: ReadonlyMap<Kind, {readonly store: ReadonlyMap<string, ClusterDocument>}>,
  clusterDomain: string,
  idOf: (kind: Kind, key: string) => string,
): Map<string, Finding[]> {
  const documents: Document[] = [];
  const ids = new Map<string, string>();
  for (const [kind, {store}] of kinds)
    for (const [key, {document}] of store) {
      if (document === null) continue;
      documents.push(document);
      const [namespace, name] = key.includes('/') ? key.split('/') : [undefined, key];
      const object = describeObject({kind, metadata: {name, namespace}});
      if (object !== null) ids.set(object, idOf(kind, key));
    }
  const found = new Map<string, Finding[]>();
  for (const finding of checkDocuments(documents, {clusterDomain})) {
    const id = finding.object === null ? undefined : ids.get(finding.object);
    if (id !== undefined) found.set(id, [...(found.get(id) ?? []), finding]);
  }
  return found;
}
