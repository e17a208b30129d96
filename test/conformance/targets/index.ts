import type {Target} from './target.ts';
import {envoyTarget} from './envoy/target.ts';
import {policyTarget} from './policy/target.ts';
import {tproxyTarget} from './tproxy/target.ts';

/** What can be run. Cases may name `istio` already; it joins this list when it can run. */
export const TARGETS: readonly Target[] = [policyTarget, tproxyTarget, envoyTarget];
