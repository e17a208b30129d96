/**
 * Behind the question: what it names no way for goes nowhere. An ORIGINAL_DST cluster without the address of the answer would dial
 * the one that the connection came for, which the client claims. Routes cannot hold it: they are chosen before the answer.
 */
import {type} from '../check.ts';

type Value = Readonly<Record<string, unknown>>;

export const ANSWERED = {
  http: 'envoy.filters.http.rbac',
  network: 'envoy.filters.network.rbac',
} as const;

/** `ways`: the fields of which the answer has to have one (docs/EXTAUTHZ.md). */
export function answered(filter: keyof typeof ANSWERED, ways: readonly ('dial' | 'via')[]): Value {
  const permissions = ways.map((key) => ({
    sourced_metadata: {
      metadata_matcher: {
        filter: `envoy.filters.${filter}.ext_authz`,
        path: [{key}],
        value: {string_match: {safe_regex: {regex: '.+'}}},
      },
    },
  }));
  return {
    name: ANSWERED[filter],
    typed_config: {
      '@type': type(`envoy.extensions.filters.${filter}.rbac.v3.RBAC`),
      rules: {action: 'ALLOW', policies: {answered: {permissions, principals: [{any: true}]}}},
      ...(filter === 'network' ? {stat_prefix: 'sallyport_answered.'} : {}),
    },
  };
}

/** For a route about which nobody is asked. */
export const UNANSWERED: Value = {
  [ANSWERED.http]: {'@type': type('envoy.extensions.filters.http.rbac.v3.RBACPerRoute')},
};
