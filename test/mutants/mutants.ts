/** All mutants, by the part that they break. */
import {AROUND_MUTANTS} from './around.ts';
import {BOUNDS_MUTANTS} from './bounds.ts';
import {CLUSTER_MUTANTS} from './cluster.ts';
import {EXTAUTHZ_MUTANTS} from './extauthz.ts';
import {FILTER_MUTANTS} from './filters.ts';
import {GUARD_MUTANTS} from './guard.ts';
import {HTTP1_MUTANTS} from './http1.ts';
import {INJECTOR_MUTANTS} from './injector.ts';
import {MTLS_WIRE_MUTANTS} from './mtls-wire.ts';
import {MTLS_IDENTITY_MUTANTS} from './mtls-identity.ts';
import {MTLS_POD_MUTANTS} from './mtls-pod.ts';
import type {Mutant} from './mutant.ts';
import {CONDITION_MUTANTS, LOAD_MUTANTS} from './policy-conditions.ts';
import {DESTINATION_MUTANTS} from './policy-destinations.ts';
import {ORDER_MUTANTS} from './policy-order.ts';
import {RELAY_MUTANTS} from './relay.ts';
import {UPSTREAM_MUTANTS} from './upstream.ts';

export const MUTANTS: readonly Mutant[] = [
  ...ORDER_MUTANTS,
  ...CONDITION_MUTANTS,
  ...DESTINATION_MUTANTS,
  ...LOAD_MUTANTS,
  ...HTTP1_MUTANTS,
  ...RELAY_MUTANTS,
  ...UPSTREAM_MUTANTS,
  ...BOUNDS_MUTANTS,
  ...EXTAUTHZ_MUTANTS,
  ...FILTER_MUTANTS,
  ...INJECTOR_MUTANTS,
  ...CLUSTER_MUTANTS,
  ...GUARD_MUTANTS,
  ...MTLS_IDENTITY_MUTANTS,
  ...MTLS_POD_MUTANTS,
  ...AROUND_MUTANTS,
  ...MTLS_WIRE_MUTANTS,
];
