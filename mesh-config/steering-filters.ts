/** EnvoyFilters of others by which proxies that ask send elsewhere than was asked about, or past the question. Pure. */
import {snakeKeys} from './others.ts';
import type {EnvoyFilter} from './surroundings.ts';

type Patch = NonNullable<EnvoyFilter['spec']['configPatches']>[number];

/** Filters of Envoy that are programs. */
const CODE = [
  'filters.http.lua',
  'filters.http.wasm',
  'filters.network.wasm',
  'filters.http.ext_proc',
  'golang',
  'dynamic_modules',
];

/** Filters that write what routes and clusters choose by: headers, metadata and filter state, ours among them. */
const WRITES = ['set_filter_state', 'set_metadata', 'header_to_metadata', 'header_mutation'];

/** Fields by which a route, or a filter that ends a chain, says where it sends, or what it makes of a request before. */
const ROUTES = [
  'cluster',
  'weighted_clusters',
  'cluster_header',
  'cluster_specifier_plugin',
  'request_mirror_policies',
  'host_rewrite_literal',
  'host_rewrite_header',
  'host_rewrite_path_regex',
  'prefix_rewrite',
  'regex_rewrite',
  'path_rewrite_policy',
];
/** Where a cluster that is there already sends. One that is added has to be named by somebody. */
const ENDPOINTS = ['load_assignment', 'original_dst_lb_config', 'type', 'cluster_type'];

/** What it does where `asks` says that its context is of proxies that ask; null: nothing of that. */
export function steering({spec}: EnvoyFilter, asks: (context: string) => boolean): string | null {
  for (const patch of spec.configPatches ?? []) {
    if (!asks(patch.match?.context ?? 'ANY')) continue;
    if (names(patch, CODE))
      return 'runs code in proxies that ask, after the question: it may send a request elsewhere than was asked about';
    if (names(patch, WRITES)) return 'writes what proxies that ask choose by where to send';
    if (routes(patch)) return 'chooses where proxies that ask send, after the question or past it';
  }
  return null;
}

const names = ({patch}: Patch, filters: readonly string[]): boolean => {
  const value = JSON.stringify(patch?.value ?? null);
  return filters.some((name) => value.includes(name));
};

function routes({applyTo, patch}: Patch): boolean {
  const value = snakeKeys(patch?.value ?? null);
  if (applyTo === 'CLUSTER')
    return patch?.operation !== 'ADD' && ENDPOINTS.some((key) => Object.hasOwn(value ?? {}, key));
  const text = JSON.stringify(value);
  return ROUTES.some((key) => text.includes(`"${key}":`));
}
