import type {Target} from './target.ts';
import {envoyTarget} from './envoy/target.ts';
import {istioSidecarTarget, istioTarget} from './istio/target.ts';
import {policyTarget} from './policy/target.ts';
import {tproxyTarget} from './tproxy/target.ts';

/** What can be run. */
export const TARGETS: readonly Target[] = [policyTarget, tproxyTarget, envoyTarget, istioTarget, istioSidecarTarget];
