/** The variables of a condition with their types, and where each is found in the input. */
import {Environment} from '@marcbachmann/cel-js';
import type {ConditionInput, Sees} from './condition.ts';
import {MAX_DEPTH, MAX_LIST_ELEMENTS, MAX_NODES} from './limits.ts';
import {UNKNOWN, type Value} from './values.ts';

interface Field {
  readonly type: 'string' | 'int' | 'map<string, string>' | 'map<string, list<string>>';
  readonly read: (input: ConditionInput) => Value;
}

const known = (value: Value | null | undefined): Value => value ?? UNKNOWN;

/** POLICY.md "CEL sees". A null, and every field of a request that was not inspected, is unknown. */
export const VARIABLES: Readonly<Record<string, Readonly<Record<string, Field>>>> = {
  request: {
    method: {type: 'string', read: (input) => known(input.request?.method)},
    scheme: {type: 'string', read: (input) => known(input.request?.scheme)},
    host: {type: 'string', read: (input) => known(input.request?.host)},
    port: {type: 'int', read: (input) => (input.request === null ? UNKNOWN : BigInt(input.request.port))},
    path: {type: 'string', read: (input) => known(input.request?.path)},
    query: {type: 'map<string, list<string>>', read: (input) => known(input.request?.query)},
    headers: {type: 'map<string, string>', read: (input) => known(input.request?.headers)},
  },
  source: {
    namespace: {type: 'string', read: (input) => known(input.source.namespace)},
    name: {type: 'string', read: (input) => known(input.source.name)},
    labels: {type: 'map<string, string>', read: (input) => known(input.source.labels)},
    serviceAccount: {type: 'string', read: (input) => known(input.source.serviceAccount)},
  },
  destination: {
    ip: {type: 'string', read: (input) => known(input.destination.ip)},
    port: {type: 'int', read: (input) => BigInt(input.destination.port)},
  },
  tls: {sni: {type: 'string', read: (input) => known(input.tls.sni)}},
};

function environment(sees: Sees): Environment {
  const env = new Environment({
    limits: {
      maxAstNodes: MAX_NODES,
      maxDepth: MAX_DEPTH,
      maxListElements: MAX_LIST_ELEMENTS,
      maxMapEntries: 0,
      maxCallArguments: 3,
    },
  });
  for (const [name, fields] of Object.entries(VARIABLES)) {
    if (name === 'request' && sees === 'connection') continue;
    env.registerVariable(name, {
      schema: Object.fromEntries(Object.entries(fields).map(([field, {type}]) => [field, type])),
    });
  }
  return env;
}

const environments = new Map<Sees, Environment>();

/** The typed environment, made at first use. */
export function environmentFor(sees: Sees): Environment {
  let env = environments.get(sees);
  if (env === undefined) environments.set(sees, (env = environment(sees)));
  return env;
}

/** What this package looks at of a node of the library's syntax tree; `checkedType` is set by its type check. */
export interface Node {
  readonly op: string;
  readonly args: unknown;
  readonly start: number;
  readonly end: number;
  readonly checkedType?: {readonly name: string};
}

/** Why an expression is refused, and at which offset of its source. */
export class Refusal extends Error {
  readonly at: number;

  constructor(node: Node, message: string) {
    super(message);
    this.at = node.start;
  }
}
