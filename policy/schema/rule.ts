/** One rule of a policy. */
import * as limits from './limits.ts';
import {text, type ObjectShape} from './shape.ts';

const HEADER_GLOBS = {kind: 'map', of: text, nullable: true, maxEntries: limits.MAX_MAP_ENTRIES} as const;
const HEADER_VALUES = {
  kind: 'map',
  of: {kind: 'text', maxCharacters: limits.MAX_HEADER_VALUE_CHARACTERS},
  maxEntries: limits.MAX_MAP_ENTRIES,
} as const;

export const MUTATIONS = {
  kind: 'object',
  fields: {
    set: {shape: HEADER_VALUES, doc: 'Headers to put in place of all lines of that name.', default: {}},
    add: {shape: HEADER_VALUES, doc: 'Header lines to add, whether or not one is there.', default: {}},
    remove: {
      shape: {kind: 'list', of: text, maxItems: limits.MAX_MAP_ENTRIES},
      doc: 'Headers to take away.',
      default: [],
    },
  },
} as const satisfies ObjectShape;

export const TO = {
  kind: 'object',
  fields: {
    hosts: {
      shape: {kind: 'list', of: text, maxItems: limits.MAX_LIST_ITEMS},
      doc: 'Names: exact, "*.suffix" (any depth, not the suffix itself), or "*". They never match an IP literal. With cidrs, both must hold.',
      default: [],
    },
    cidrs: {
      shape: {kind: 'list', of: text, maxItems: limits.MAX_LIST_ITEMS},
      doc: 'Addresses: 192.0.2.0/24 or 2001:db8::/32. Private and shared addresses are reached only by a rule that lists them here.',
      default: [],
    },
    schemes: {
      shape: {kind: 'list', of: {kind: 'text', oneOf: ['https', 'http', 'tls', 'tcp']}, minItems: 1, maxItems: 4},
      doc: 'https: inspected requests; http: in the clear; tls: by SNI, never decrypted; tcp: opaque. A Deny without it means all.',
      default: '[https] for Allow, all for Deny',
    },
    ports: {
      shape: {kind: 'list', of: {kind: 'port'}, minItems: 1, maxItems: limits.MAX_LIST_ITEMS},
      doc: 'Numbers or "8000-8999". Required for an Allow with tcp. A Deny without it means all.',
      default: '443 for https and tls, 80 for http; all for Deny',
    },
  },
} as const satisfies ObjectShape;

export const HTTP = {
  kind: 'object',
  fields: {
    methods: {
      shape: {kind: 'list', of: text, minItems: 1, maxItems: limits.MAX_LIST_ITEMS},
      doc: 'Methods, in their letter case.',
      default: 'any',
    },
    paths: {
      shape: {kind: 'list', of: text, minItems: 1, maxItems: limits.MAX_LIST_ITEMS},
      doc: 'Path globs: * is any characters but /, ** any characters.',
      default: 'any',
    },
    headers: {shape: HEADER_GLOBS, doc: 'Value globs by header name; null: must be absent.', default: {}},
    query: {shape: HEADER_GLOBS, doc: 'Value globs by query parameter; null: must be absent.', default: {}},
  },
} as const satisfies ObjectShape;

export const RULE = {
  kind: 'object',
  fields: {
    name: {
      shape: {kind: 'text', minCharacters: 1, maxCharacters: limits.MAX_RULE_NAME_CHARACTERS},
      required: true,
      doc: 'Unique in the policy; named in logs, denials and explain.',
    },
    action: {
      shape: {kind: 'text', oneOf: ['Allow', 'Deny']},
      doc: 'Deny rules are looked at before all Allow rules.',
      default: 'Allow',
    },
    to: {shape: TO, required: true, doc: 'The destination.'},
    http: {shape: HTTP, doc: 'Conditions on the request: TLS is intercepted to see it.', default: 'none'},
    when: {
      shape: text,
      doc: 'A CEL condition on request, source, destination and tls (source, destination and tls in tls and tcp rules).',
      default: 'none',
    },
    request: {shape: MUTATIONS, doc: 'Changes to the request that is sent on.', default: {}},
    response: {shape: MUTATIONS, doc: 'Changes to the response that is sent back.', default: {}},
    via: {
      shape: {kind: 'text', minCharacters: 1, maxCharacters: 253},
      doc: 'An UpstreamProxy by name, or Direct.',
      default: "by the UpstreamProxies' hosts",
    },
  },
} as const satisfies ObjectShape;
