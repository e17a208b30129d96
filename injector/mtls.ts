/** What a pod says about mTLS with other pods: taken where it is kept, refused where it would be a promise and nothing more. */
import {wish} from '../cluster/asked-mode.ts';
import {ANNOTATIONS, LABELS} from '../runtime/names.ts';
import {MAX_PLAIN_PORTS, MTLS_MODES, parsePlainPorts, type MtlsMode} from '../sources/mtls-words.ts';
import type {Mode} from './choice.ts';
import type {Namespace, Pod} from './pod.ts';
import type {Installation} from './settings.ts';

/** Of a pod that is being made. */
export interface MtlsSaid {
  /** null: nothing, and the agent's default holds. */
  readonly mode: MtlsMode | null;
  readonly plainPorts: readonly number[];
}

/** What it says, its namespace's word included; else what is wrong with it, as sentences with the fix. */
export function mtlsOf(
  {metadata}: Pod,
  namespace: Namespace,
  mode: Mode,
  installation: Installation,
): MtlsSaid | {readonly wrong: readonly string[]} {
  const {labels = {}, annotations = {}} = metadata;
  const said = wish({labels, annotations}, namespace.labels, LABELS.mtls);
  const ports = annotations[ANNOTATIONS.mtlsPlainPorts];
  const word = said === null ? null : (MTLS_MODES.find((one) => one === said.value) ?? null);
  const plainPorts = ports === undefined ? new Set<number>() : parsePlainPorts(ports);
  const wrong: string[] = [];
  if (said !== null && word === null)
    wrong.push(`${LABELS.mtls} is ${JSON.stringify(said.value)}: write one of ${MTLS_MODES.join(', ')}.`);
  if (plainPorts === null)
    wrong.push(
      `${ANNOTATIONS.mtlsPlainPorts} is ${JSON.stringify(ports)}: write up to ${MAX_PLAIN_PORTS} ports, as in "9090, 8081".`,
    );
  if (word === 'Strict' || word === 'Permissive') {
    const off = `Write ${LABELS.mtls}: "Off"`;
    if (!installation.mtls)
      wrong.push(
        `${LABELS.mtls} is "${word}", and no agent here speaks mTLS. ${off}, or have it switched on (the chart's mtls.enabled).`,
      );
    else if (mode !== 'tproxy')
      wrong.push(
        `${LABELS.mtls} is "${word}", and the mode is ${mode}: only pods whose traffic is taken speak mTLS. ${off}, or ${LABELS.mode}: tproxy.`,
      );
  }
  return wrong.length > 0 ? {wrong} : {mode: word, plainPorts: [...(plainPorts ?? [])]};
}

/** What of it holds for as long as the pod lives, for its status: a label that is changed meanwhile frees nobody (pod-facts.ts). */
export function mtlsStatus({mode, plainPorts}: MtlsSaid): object {
  if (mode === null) return {};
  return {mtls: mode, ...(plainPorts.length > 0 ? {mtlsPlainPorts: plainPorts} : {})};
}
