/** The documents of a case by kind and name, as `apply` replaces them. */
import {stringify} from 'yaml';
import type {DocumentValue} from './format/case.ts';

/** Kind, namespace and name: what makes a later document replace an earlier one. */
export function documentKey(document: DocumentValue): string {
  const metadata = (document['metadata'] ?? {}) as Record<string, unknown>;
  return [document['kind'], metadata['namespace'] ?? '', metadata['name']].map(String).join(' ');
}

/** `EgressPolicy default/web`, `UpstreamProxy corp`: as findings name an object. */
export function objectName(document: DocumentValue): string {
  const [kind, namespace, name] = documentKey(document).split(' ');
  return `${kind} ${namespace === '' ? '' : `${namespace}/`}${name}`;
}

/** The set after `changes`: replaced in place, new ones at the end. */
export function withDocuments(before: readonly DocumentValue[], changes: readonly DocumentValue[]): DocumentValue[] {
  const byKey = new Map(before.map((document) => [documentKey(document), document]));
  for (const document of changes) byKey.set(documentKey(document), document);
  return [...byKey.values()];
}

/** One multi-document file. Long texts stay on their line, so that positions in messages are easy to find. */
export function documentsText(documents: readonly DocumentValue[]): string {
  return documents.map((document) => stringify(document, {lineWidth: 0})).join('---\n');
}
