/** The policy language's public face. Everything outside policy/ imports from here. */
export type * from './request.ts';
export type * from './decision.ts';
export type * from './documents.ts';
export type {Reason} from './reasons.ts';
export {REASONS} from './reasons.ts';
export {isDecision} from './decision.ts';
