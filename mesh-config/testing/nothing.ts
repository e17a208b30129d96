/** A cluster in which nothing is in anybody's way, for tests that put something into it. */
import type {Surroundings} from '../surroundings.ts';

export const NOTHING: Surroundings = {
  istiods: [],
  proxies: [],
  pods: [],
  namespaces: new Map(),
  virtualServices: [],
  wasmPlugins: [],
  injection: null,
  serviceEntries: [],
  services: [],
  sidecars: [],
  envoyFilters: [],
  networkPolicies: [],
  mesh: null,
};
