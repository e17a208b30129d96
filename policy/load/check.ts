/** What only shows when rules and documents are seen together. Nothing here keeps a document out. */
import type {Document, Finding, PolicyDocument, Position, UpstreamProxyDocument} from '../documents.ts';
import {tlsBesideDeny, wildcardDenyBesideTcp} from './beside.ts';
import {documentName} from './name.ts';
import {ambiguousParents, missingParents, unresolvedParents} from './parents.ts';
import {reachOf} from './reach.ts';
import {shadowedRules} from './shadow.ts';

/**
 * Warnings about documents that loaded, in their order; and an error where two loads brought the same object. Time is
 * about linear in the number of rules. `clusterDomain`: names under it are not held by an Allow's `"*"`.
 */
export function checkDocuments(
  documents: readonly Document[],
  {clusterDomain = 'cluster.local'}: {readonly clusterDomain?: string} = {},
): Finding[] {
  const policies = documents.filter((document): document is PolicyDocument => document.kind !== 'UpstreamProxy');
  const proxies = documents.filter((document): document is UpstreamProxyDocument => document.kind === 'UpstreamProxy');
  const reaches = policies.flatMap((policy) => policy.rules.map((rule, index) => reachOf(policy, rule, index)));
  return [
    ...duplicates(documents),
    ...policies.flatMap((policy) => shadowedRules(policy, clusterDomain)),
    ...tlsBesideDeny(reaches),
    ...wildcardDenyBesideTcp(reaches),
    ...missingParents(reaches, proxies),
    ...unresolvedParents(reaches, proxies),
    ...ambiguousParents(proxies),
  ];
}

function duplicates(documents: readonly Document[]): Finding[] {
  const first = new Map<string, Position>();
  return documents.flatMap((document): Finding[] => {
    const name = documentName(document);
    const before = first.get(name);
    if (before === undefined) {
      first.set(name, document.at);
      return [];
    }
    return [
      {
        severity: 'error',
        code: 'DuplicateObject',
        message: `${name} is written before, at ${before.file}:${before.line}`,
        fix: 'Keep one of the two, or give this one another name.',
        at: document.at,
        object: name,
        path: '',
      },
    ];
  });
}
