/** The Kubernetes Event of a denial: what a developer reads in `kubectl describe pod`. Pure. */
import {V1MicroTime, type EventsV1Event} from '@kubernetes/client-node';
import {adviceOf} from '../../policy/index.ts';
import type {DenialCount} from '../../runtime/denials.ts';

/** Who tells it. */
export interface Reporter {
  /** `sallyport.dev/tproxy`. */
  readonly controller: string;
  /** The node, or the pod. */
  readonly instance: string;
}

export interface EventSeries {
  readonly count: number;
  readonly lastAt: Date;
}

/** The API server's limits (validation of events.k8s.io/v1). */
const MAX_NOTE_BYTES = 1_024;
const MAX_INSTANCE_CHARACTERS = 128;
/** Of 253; what follows makes it unique. */
const MAX_POD_NAME = 230;

/** `name`: unique among the events of the namespace, see eventName. */
export function eventOf(denial: DenialCount, reporter: Reporter, name: string, at: Date, count: number): EventsV1Event {
  const {pod, policy, verdict} = denial;
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: {name, namespace: pod.namespace},
    eventTime: new V1MicroTime(at),
    reportingController: reporter.controller,
    reportingInstance: reporter.instance.slice(0, MAX_INSTANCE_CHARACTERS),
    action: 'Egress',
    reason: verdict === 'denied' ? 'EgressDenied' : 'EgressWouldDeny',
    type: verdict === 'denied' ? 'Warning' : 'Normal',
    regarding: {apiVersion: 'v1', kind: 'Pod', ...pod},
    ...(policy === null ? {} : {related: {apiVersion: 'sallyport.dev/v1alpha1', ...referenceOf(policy)}}),
    note: noteOf(denial),
    ...(count > 1 ? {series: seriesOf({count, lastAt: at})} : {}),
  };
}

/** What of an event may change once it is there. */
export const seriesOf = ({count, lastAt}: EventSeries): NonNullable<EventsV1Event['series']> => ({
  count,
  lastObservedTime: new V1MicroTime(lastAt),
});

/** `unique`: hexadecimal, as Kubernetes' own are. */
export const eventName = ({pod}: DenialCount, unique: string): string =>
  `${pod.name.slice(0, MAX_POD_NAME).replace(/[.-]+$/, '')}.${unique}`;

type PolicyName = NonNullable<DenialCount['policy']>;

const kindOf = ({namespace}: PolicyName): string => (namespace === null ? 'ClusterEgressPolicy' : 'EgressPolicy');

const referenceOf = (policy: PolicyName): {kind: string; name: string; namespace?: string} => {
  const {namespace, name} = policy;
  return {kind: kindOf(policy), name, ...(namespace === null ? {} : {namespace})};
};

/** What was denied, by what, and what to do. The id first of all: cut or not, with it everything else can be found. */
function noteOf({verdict, destination, reason, policy, rule, id}: DenialCount): string {
  const what = destination ?? 'a further destination';
  const said = verdict === 'denied' ? 'was refused' : 'would be refused (its policies only audit)';
  const by =
    policy === null
      ? ''
      : `, ${kindOf(policy)} ${policy.namespace === null ? '' : `${policy.namespace}/`}${policy.name}${rule === null ? '' : `, rule ${rule}`}`;
  const note = `${id}: ${what} ${said}: ${reason}${by}. ${adviceOf(reason)} More: sallyport explain ${id} --log FILE`;
  // All of it is printable ASCII, but for a rule's name in a file that no API server has seen.
  const bytes = Buffer.from(note);
  return bytes.length <= MAX_NOTE_BYTES ? note : `${bytes.subarray(0, MAX_NOTE_BYTES - 4).toString('ascii')}...`;
}
