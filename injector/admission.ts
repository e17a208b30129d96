/** One admission request to its answer, for the mutating and the validating webhook alike. */
import {guardFaults} from './guard.ts';
import {inject, type Injection} from './inject.ts';
import {loosened} from './latch.ts';
import {patchOf} from './patch.ts';
import {containersOf, type Namespace, type Pod} from './pod.ts';
import {hasRawSockets} from './raw-sockets.ts';
import type {AdmissionRequest} from './review.ts';
import type {Installation} from './settings.ts';

export interface AdmissionResponse {
  readonly uid: string;
  readonly allowed: boolean;
  readonly status?: {readonly code: number; readonly message: string};
  readonly patchType?: 'JSONPatch';
  /** Base64 of a JSON Patch. */
  readonly patch?: string;
  readonly warnings?: readonly string[];
  readonly auditAnnotations?: Readonly<Record<string, string>>;
}

/** Of those that are about a pod. */
export type PodRequest = Exclude<AdmissionRequest, {readonly kind: 'skip'}>;

/** The API server shows at most 256 characters of a warning, and 4096 of all. */
const MAX_WARNING_CHARACTERS = 256;
const MAX_WARNINGS = 16;

/** The mutating webhook's answer. */
export function mutate(request: PodRequest, namespace: Namespace, installation: Installation): AdmissionResponse {
  const {uid} = request;
  switch (request.kind) {
    case 'update':
      // Of a pod that exists nothing can be changed that we set.
      return allowed(uid, {skipped: 'Exists'});
    case 'create':
    case 'ephemeral': {
      const {pod} = request;
      const result = injected(request, namespace, installation);
      if (result.kind === 'refuse') return refusal(uid, result.messages);
      const warnings = result.warnings.length === 0 ? {} : {warnings: shortened(result.warnings)};
      if (result.kind === 'skip') return {...allowed(uid, {skipped: result.reason}), ...warnings};
      const operations = patchOf(pod, result.pod);
      return {
        ...allowed(uid, {mode: result.mode}),
        ...warnings,
        ...(operations.length === 0
          ? {}
          : {patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(operations)).toString('base64')}),
      };
    }
  }
}

/**
 * The validating webhook's answer. It runs after every mutating one, so it sees what another injector made of the pod: a
 * guarded pod that was given a way out by then is refused.
 */
export function validate(request: PodRequest, namespace: Namespace, installation: Installation): AdmissionResponse {
  const {uid} = request;
  switch (request.kind) {
    case 'update': {
      const ways = loosened(request.running, request.pod, namespace, installation);
      return ways.length > 0 ? refusal(uid, ways) : {uid, allowed: true};
    }
    case 'create':
    case 'ephemeral': {
      const result = injected(request, namespace, installation);
      if (result.kind === 'refuse') return refusal(uid, result.messages);
      if (result.kind !== 'inject' || result.mode !== 'tproxy') return {uid, allowed: true};
      const undone = [
        ...(request.kind === 'create' ? guardFaults(request.pod) : []),
        ...undoneBy(request.pod, result.pod),
      ];
      return undone.length > 0 ? refusal(uid, undone) : {uid, allowed: true};
    }
  }
}

function injected(
  request: PodRequest & {kind: 'create' | 'ephemeral'},
  namespace: Namespace,
  installation: Installation,
): Injection {
  return inject(request.pod, namespace, installation, request.kind === 'ephemeral' ? request.running : null);
}

/** What of a captured pod's guard is not there any more, though we set it: another webhook, or one that was not asked again. */
function undoneBy(pod: Pod, wanted: Pod): string[] {
  const keep = new Set(
    containersOf(wanted)
      .filter((container) => !hasRawSockets(container))
      .map(({name}) => name),
  );
  return containersOf(pod)
    .filter((container) => hasRawSockets(container) && keep.has(container.name))
    .map(
      ({name}) =>
        `container ${name} has raw sockets: another webhook added it, or gave them back, after ours. Let the mutating webhook be asked again (reinvocationPolicy: IfNeeded), or drop NET_RAW there.`,
    );
}

function allowed(uid: string, auditAnnotations: Record<string, string>): AdmissionResponse {
  return {uid, allowed: true, auditAnnotations};
}

function refusal(uid: string, messages: readonly string[]): AdmissionResponse {
  return {uid, allowed: false, status: {code: 403, message: `sallyport: ${messages.join(' ')}`}};
}

function shortened(warnings: readonly string[]): string[] {
  return warnings.slice(0, MAX_WARNINGS).map((warning) => warning.slice(0, MAX_WARNING_CHARACTERS));
}
