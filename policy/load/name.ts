import type {Document, MeshEgressDocument} from '../documents.ts';

/** `EgressPolicy default/web`: what identifies a document, as Finding.object names it. */
export const documentName = (document: Document | MeshEgressDocument): string =>
  document.kind === 'EgressPolicy'
    ? `${document.kind} ${document.namespace}/${document.name}`
    : `${document.kind} ${document.name}`;
