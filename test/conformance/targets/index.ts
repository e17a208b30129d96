import type {Target} from './target.ts';
import {policyTarget} from './policy/target.ts';
import {tproxyTarget} from './tproxy/target.ts';

/** What can be run. Cases may name `envoy` and `istio` already; they join this list when they can run. */
export const TARGETS: readonly Target[] = [policyTarget, tproxyTarget];
