/** The policy language's public face. Everything outside policy/ imports from here. */
export type * from './request.ts';
export type * from './decision.ts';
export type * from './documents.ts';
export type {Reason} from './reasons.ts';
export {REASONS} from './reasons.ts';
export {isDecision} from './decision.ts';
export {loadDocuments} from './load/load.ts';
export {documentName} from './load/name.ts';
export type {Loaded, Source} from './load/load.ts';
export {readDocument, describeObject} from './load/document.ts';
export type {ReadDocument} from './load/document.ts';
export {formatFinding} from './load/format.ts';
export {checkDocuments} from './load/check.ts';
