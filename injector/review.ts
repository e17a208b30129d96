/** One AdmissionReview (admission.k8s.io/v1) taken apart: what it asks of us, if anything. */
import type {Pod} from './pod.ts';

/** What a webhook can be asked about a pod. */
export type AdmissionRequest = {readonly uid: string; readonly namespace: string} & (
  | {readonly kind: 'create'; readonly pod: Pod}
  /** Ephemeral containers added to a pod that runs. */
  | {readonly kind: 'ephemeral'; readonly pod: Pod; readonly running: Pod}
  /** Anything else of a pod that exists: of its containers nothing that matters to us can change. */
  | {readonly kind: 'update'; readonly pod: Pod; readonly running: Pod}
  | {readonly kind: 'skip'; readonly reason: ReviewSkip}
);

/** Why a review is answered without looking at the pod; closed, and shown in the audit annotation. */
export type ReviewSkip = 'NothingStarts' | 'OtherSubresource' | 'MirrorPod';

/** The group of the nodes' own users; it comes from their certificates, not from the request. */
const NODES = 'system:nodes';
const MIRROR = 'kubernetes.io/config.mirror';

/** The request of a review, or what is wrong with the review: a request that is no pod's comes of a wrong configuration. */
export function readReview(review: unknown): AdmissionRequest | {readonly bad: string} {
  const request = fieldOf(review, 'request');
  const uid = fieldOf(request, 'uid');
  if (
    fieldOf(review, 'apiVersion') !== 'admission.k8s.io/v1' ||
    fieldOf(review, 'kind') !== 'AdmissionReview' ||
    typeof uid !== 'string'
  )
    return {bad: 'no AdmissionReview of admission.k8s.io/v1'};
  const namespace = fieldOf(request, 'namespace');
  if (typeof namespace !== 'string' || namespace === '') return {bad: 'the request names no namespace'};
  const named = {uid, namespace};

  // 1. What ends a pod or connects to it starts nothing, and has no pod to show (DELETE, CONNECT).
  const operation = fieldOf(request, 'operation');
  if (operation === 'DELETE' || operation === 'CONNECT') return {...named, kind: 'skip', reason: 'NothingStarts'};
  if (operation !== 'CREATE' && operation !== 'UPDATE') return {bad: 'the operation is neither CREATE nor UPDATE'};
  // 2. status, resize, binding and others change nothing that we set.
  const subresource = fieldOf(request, 'subResource') ?? '';
  if (subresource !== '' && subresource !== 'ephemeralcontainers')
    return {...named, kind: 'skip', reason: 'OtherSubresource'};

  const pod = podOf(fieldOf(request, 'object'));
  if (pod === null) return {bad: 'the object is no Pod: the webhook is for pods and pods/ephemeralcontainers'};
  if (operation === 'CREATE') {
    // 3. A static pod's copy in the API: the kubelet runs what its file says, whatever we answer. Its word alone is not
    // enough, for everybody can write an annotation.
    const groups = fieldOf(fieldOf(request, 'userInfo'), 'groups');
    const mirror = pod.metadata.annotations?.[MIRROR] !== undefined;
    if (mirror && Array.isArray(groups) && groups.includes(NODES)) return {...named, kind: 'skip', reason: 'MirrorPod'};
    return {...named, kind: 'create', pod};
  }
  const running = podOf(fieldOf(request, 'oldObject'));
  if (running === null) return {bad: 'an UPDATE without the pod as it was'};
  return {...named, kind: subresource === '' ? 'update' : 'ephemeral', pod, running};
}

function podOf(object: unknown): Pod | null {
  const containers = fieldOf(fieldOf(object, 'spec'), 'containers');
  if (fieldOf(object, 'kind') !== 'Pod' || !Array.isArray(containers)) return null;
  return {...(object as Pod), metadata: (fieldOf(object, 'metadata') ?? {}) as Pod['metadata']};
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
