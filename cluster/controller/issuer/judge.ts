/** Who gets which identity: judged by what the API server says of a token and of a pod, never by what is asked for. Pure. */
import type {KubernetesObject, V1Pod, V1TokenReviewStatus} from '@kubernetes/client-node';
import {IDENTITY_AUDIENCE} from '../../../runtime/names.ts';

/** Of whom the token is, as TokenReview says (authentication.k8s.io/v1, status.user.extra). */
const EXTRA = {
  podName: 'authentication.kubernetes.io/pod-name',
  podUid: 'authentication.kubernetes.io/pod-uid',
  nodeName: 'authentication.kubernetes.io/node-name',
} as const;
const USERNAME = /^system:serviceaccount:([a-z0-9-]+):([a-z0-9.-]+)$/;

/** A pod that runs as a ServiceAccount, and that the API server knows. */
export interface Caller {
  readonly username: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: {readonly name: string; readonly uid: string};
  /** null: the token does not say it (Kubernetes before 1.30, or a pod of no node). */
  readonly node: string | null;
}

/** A refusal: `code` stable, for metrics and for who asks. */
export interface Refused {
  readonly kind: 'refused';
  readonly code:
    | 'NotAuthenticated'
    | 'WrongAudience'
    | 'NotAServiceAccount'
    | 'TokenNotBound'
    | 'NotAnAgent'
    | 'WrongNode'
    | 'NoSuchPod';
  readonly message: string;
}

const refused = (code: Refused['code'], message: string): Refused => ({kind: 'refused', code, message});

/** Everything that does not hold refuses, the first in this order: a token at all, for us, of a ServiceAccount, of a pod. */
export function callerOf(
  status: V1TokenReviewStatus | undefined,
): {readonly kind: 'caller'; readonly caller: Caller} | Refused {
  if (status?.authenticated !== true)
    return refused(
      'NotAuthenticated',
      'the API server does not know the token: it has ended, its pod is gone, or it is none.',
    );
  // One that answers without audiences knows nothing of them, and took the token for the API's own.
  if (status.audiences?.includes(IDENTITY_AUDIENCE) !== true)
    return refused('WrongAudience', `the token is not for ${IDENTITY_AUDIENCE}: ask with one of that audience.`);
  const {username = '', extra = {}} = status.user ?? {};
  const [, namespace, serviceAccount] = USERNAME.exec(username) ?? [];
  if (namespace === undefined || serviceAccount === undefined)
    return refused('NotAServiceAccount', 'the token is of no ServiceAccount: there are no identities for others.');
  const one = (key: string): string | null => {
    const values = extra[key] ?? [];
    return values.length === 1 && values[0] !== '' ? values[0]! : null;
  };
  const [name, uid] = [one(EXTRA.podName), one(EXTRA.podUid)];
  // A token of no pod outlives every pod, and nothing could end it.
  if (name === null || uid === null)
    return refused('TokenNotBound', 'the token is bound to no pod: ask with one that is mounted into it (projected).');
  return {kind: 'caller', caller: {username, namespace, serviceAccount, pod: {name, uid}, node: one(EXTRA.nodeName)}};
}

/** For whom an identity is asked; null: for the asker himself. */
export type AskedPod = {readonly namespace: string; readonly name: string; readonly uid: string} | null;

/** Whose identity it is, and the pod that it is for. */
export interface Granted {
  readonly kind: 'granted';
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
}

/** Whether the pod has to be looked up to judge it. Only an agent asks for others, and only with a token that says its node. */
export function mayAskForPods(caller: Caller, agents: ReadonlySet<string>): Refused | null {
  if (!agents.has(caller.username))
    return refused('NotAnAgent', `${caller.username} is no agent: it may ask for its own identity alone.`);
  if (caller.node === null)
    return refused('TokenNotBound', "the agent's token says no node: Kubernetes 1.30 or later does.");
  return null;
}

export function ownIdentity({namespace, serviceAccount, pod}: Caller): Granted {
  return {kind: 'granted', namespace, serviceAccount, pod: `${namespace}/${pod.name}`};
}

/** `pod`: as the API server has it now; null: it has none of that name. */
export function identityOfPod(
  caller: Caller,
  asked: NonNullable<AskedPod>,
  pod: KubernetesObject | null,
): Granted | Refused {
  const {metadata, spec, status} = (pod ?? {}) as V1Pod;
  const name = `${asked.namespace}/${asked.name}`;
  // What runs on another node is not told from what is not there: an agent learns nothing of other nodes' pods.
  const none = refused('NoSuchPod', `there is no such pod ${name} (${asked.uid}) on node ${caller.node ?? ''}.`);
  if (metadata?.uid === undefined || metadata.uid !== asked.uid) return none;
  if (caller.node === null || spec?.nodeName !== caller.node) return {...none, code: 'WrongNode'};
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return none;
  // Its addresses are the node's, where it cannot be told from others.
  if (spec.hostNetwork === true) return none;
  return {
    ...{kind: 'granted', namespace: asked.namespace, pod: name},
    serviceAccount: spec.serviceAccountName ?? 'default',
  };
}
