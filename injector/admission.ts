/** One AdmissionReview to its answer (admission.k8s.io/v1), for the mutating and the validating webhook alike. */
import {inject, type Injection} from './inject.ts';
import {patchOf} from './patch.ts';
import type {Namespace, Pod} from './pod.ts';
import type {Installation} from './settings.ts';

/** What of a request we look at. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly namespace: string;
  readonly pod: Pod;
}

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

/** The API server shows at most 256 characters of a warning, and 4096 of all. */
const MAX_WARNING_CHARACTERS = 256;
const MAX_WARNINGS = 16;

/** The request of a review, or what is wrong with the review: a request that is no pod's comes of a wrong configuration. */
export function readReview(review: unknown): AdmissionRequest | {readonly bad: string} {
  const request = fieldOf(review, 'request');
  const uid = fieldOf(request, 'uid');
  if (fieldOf(review, 'apiVersion') !== 'admission.k8s.io/v1' || typeof uid !== 'string')
    return {bad: 'no AdmissionReview of admission.k8s.io/v1'};
  const pod = fieldOf(request, 'object');
  const containers = fieldOf(fieldOf(pod, 'spec'), 'containers');
  if (fieldOf(pod, 'kind') !== 'Pod' || !Array.isArray(containers))
    return {bad: 'the object is no Pod: the webhook is for pods and pods/ephemeralcontainers'};
  const namespace = fieldOf(request, 'namespace');
  if (typeof namespace !== 'string' || namespace === '') return {bad: 'the request names no namespace'};
  const metadata = (fieldOf(pod, 'metadata') ?? {}) as Pod['metadata'];
  return {uid, namespace, pod: {...(pod as Pod), metadata}};
}

/** The mutating webhook's answer. */
export function mutate(request: AdmissionRequest, namespace: Namespace, installation: Installation): AdmissionResponse {
  const {uid, pod} = request;
  const result = inject(pod, namespace, installation);
  switch (result.kind) {
    case 'skip':
      return {uid, allowed: true, auditAnnotations: {skipped: result.reason}};
    case 'refuse':
      return refusal(uid, result);
    case 'inject': {
      const operations = patchOf(pod, result.pod);
      return {
        uid,
        allowed: true,
        auditAnnotations: {mode: result.mode},
        ...(result.warnings.length === 0 ? {} : {warnings: shortened(result.warnings)}),
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
export function validate(
  request: AdmissionRequest,
  namespace: Namespace,
  installation: Installation,
): AdmissionResponse {
  const result = inject(request.pod, namespace, installation);
  return result.kind === 'refuse' ? refusal(request.uid, result) : {uid: request.uid, allowed: true};
}

function refusal(uid: string, {messages}: Injection & {kind: 'refuse'}): AdmissionResponse {
  return {uid, allowed: false, status: {code: 403, message: `sallyport: ${messages.join(' ')}`}};
}

function shortened(warnings: readonly string[]): string[] {
  return warnings.slice(0, MAX_WARNINGS).map((warning) => warning.slice(0, MAX_WARNING_CHARACTERS));
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
