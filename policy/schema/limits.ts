/** How large documents may be. Generous: they bound what one document can cost, not what an installation may need. */

/** One file. 100,000 ordinary rules are about 15 million characters. */
export const MAX_FILE_CHARACTERS = 64 * 1024 * 1024;
/** Documents of one load, over all files. */
export const MAX_DOCUMENTS = 100_000;
/** Rules of one policy. */
export const MAX_RULES = 200_000;
/** Hosts, addresses, paths ... of one rule: lists of this length are generated, and they load. */
export const MAX_LIST_ITEMS = 20_000;
/** Entries of one map: headers, query parameters, labels. */
export const MAX_MAP_ENTRIES = 1_000;
/** Names of rules: they travel in log lines, denials and metrics of rules. */
export const MAX_RULE_NAME_CHARACTERS = 253;
/** Any one text of which no field says a smaller size. */
export const MAX_TEXT_CHARACTERS = 16 * 1024;
/** A header value that a rule sets: what common servers take as one line. */
export const MAX_HEADER_VALUE_CHARACTERS = 8 * 1024;
/** The body of a refusal: a page, not a download. */
export const MAX_DENY_BODY_CHARACTERS = 64 * 1024;
/** Endpoints of one parent, tried in order. */
export const MAX_ENDPOINTS = 32;
/**
 * Values of one YAML document after its aliases are written out: 200,000 rules of 25 values. Nested aliases double with
 * every line ("billion laughs"), and this is where they end.
 */
export const MAX_VALUES = 5_000_000;
/** Nesting of a document; ours needs 9 levels. Recursion stays far from the stack's end. */
export const MAX_NESTING = 64;
