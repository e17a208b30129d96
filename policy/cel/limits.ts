/** What one `when` may cost: at load its shape is bounded, at run its steps are. */

/** Longer conditions than anybody reads; it bounds parsing. */
export const MAX_SOURCE_CHARACTERS = 4096;
/** Nodes of the syntax tree: a list of 1,000 names still fits. */
export const MAX_NODES = 2000;
/** Nesting of calls, parentheses and operators: recursion of the parser and of evaluation stays far from the stack's end. */
export const MAX_DEPTH = 48;
/** Elements of one literal list. */
export const MAX_LIST_ELEMENTS = 1000;
/** `exists` within `exists`: every header against every header is the most that one policy needs. */
export const MAX_COMPREHENSION_NESTING = 2;
/** Instructions of a compiled RE2 program; a counted repetition of 200 fits, one of 1,000 does not. */
export const MAX_PATTERN_INSTRUCTIONS = 500;
/**
 * Steps of one evaluation; a step is some ten nanoseconds, so the worst condition on the worst request takes about a
 * millisecond. An ordinary condition on an ordinary request takes fewer than 100.
 */
export const MAX_STEPS = 100_000;
/** Characters of text that a plain comparison or copy handles in one step. */
export const CHARACTERS_PER_STEP = 64;
/** Characters times pattern length (or program size) that a search handles in one step: its worst case is their product. */
export const SEARCH_CELLS_PER_STEP = 256;
