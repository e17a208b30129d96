/** What a running pod asked for when it was made holds until it ends: its owner cannot talk it out of its guard. */
import {LABELS} from '../runtime/names.ts';
import {choose, type Choice} from './choice.ts';
import {ourContainers} from './guard.ts';
import type {Namespace, Pod} from './pod.ts';
import type {Installation} from './settings.ts';

/**
 * How the change of a pod's labels, annotations or images would take it out of its guard, as sentences with the fix; empty: it would
 * not. Where the pod was guarded once, its node goes on capturing it (the capture is latched for its UID); but what it may be
 * given later, such as an ephemeral container, is judged by what its labels say then.
 */
export function loosened(running: Pod, changed: Pod, namespace: Namespace, installation: Installation): string[] {
  const before = guardOf(choose(running, namespace, installation));
  if (before === null) return [];
  const after = guardOf(choose(changed, namespace, installation));
  if (after !== before)
    return [
      `the pod was made with ${LABELS.mode}: ${before}, which holds until it ends. Change the template that it is made from, and delete the pod.`,
    ];
  const capture = (pod: Pod): string => pod.metadata.labels?.[LABELS.capture] ?? '';
  if (capture(running) !== capture(changed))
    return [
      `${LABELS.capture} of a running pod cannot change. Change the template that it is made from, and delete the pod.`,
    ];
  return before === 'tproxy' ? otherImages(running, changed) : [];
}

/**
 * Images are what can be changed of a pod's containers (Kubernetes API, pod update): the kubelet would run another program as
 * the guard, or with the rules' NET_ADMIN, or as the proxy's user.
 */
function otherImages(running: Pod, changed: Pod): string[] {
  const image = ({spec}: Pod, name: string): unknown =>
    (spec.initContainers ?? []).find((one) => one.name === name)?.['image'];
  return ourContainers(running)
    .filter((name) => image(running, name) !== image(changed, name))
    .map(
      (name) =>
        `the image of ${name} is ours, and cannot change while the pod runs. Delete the pod: a new one gets ours.`,
    );
}

/** The modes that hold a pod, whatever it wants; null: it is held by nothing. */
function guardOf(choice: Choice): 'tproxy' | 'mesh' | null {
  return choice.kind === 'inject' && choice.mode !== 'proxy-env' ? choice.mode : null;
}
