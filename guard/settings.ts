/** `sallyport guard`: its flags. In a pod they come from the downward API as SALLYPORT_* variables. */
import {parseFlags, wholeNumber, type FlagTable} from '../runtime/flags.ts';
import {SallyportError} from '../runtime/errors.ts';

export const GUARD_FLAGS = {
  'pod-uid': {kind: 'text', value: 'UID', help: "This pod's metadata.uid, from the downward API. Required."},
  'pod-ips': {kind: 'list', value: 'IP', help: "This pod's status.podIPs: which interface is the pod's own."},
  'node-ips': {kind: 'list', value: 'IP', help: 'The node’s status.hostIPs: what must be closed to the pod.'},
  'node-name': {kind: 'text', value: 'NAME', help: 'spec.nodeName, for messages.'},
  ca: {kind: 'text', value: 'FILE', help: "Our CA's certificates. Default: /etc/sallyport/trust/ca.crt."},
  timeout: {kind: 'text', value: 'SECONDS', help: 'How long the capture is waited for. Default: 60.'},
  'termination-log': {
    kind: 'text',
    value: 'FILE',
    help: 'Where kubectl describe pod finds the reason. Default: /dev/termination-log.',
  },
} as const satisfies FlagTable;

export interface GuardConfig {
  readonly podUid: string;
  readonly podIps: readonly string[];
  readonly nodeIps: readonly string[];
  readonly nodeName: string | null;
  readonly caFile: string;
  readonly timeoutMs: number;
  readonly terminationLog: string;
}

/** An agent that starts together with the pod's node needs most of it; the kubelet tries a failed pod again anyway. */
const DEFAULT_TIMEOUT_SECONDS = 60;

/** Throws SallyportError `Usage`. */
export function guardConfig(argv: readonly string[], env: NodeJS.ProcessEnv): GuardConfig {
  const {settings, origin} = parseFlags('guard', GUARD_FLAGS, {argv, env});
  if (settings['pod-uid'] === null)
    throw new SallyportError(
      'Usage',
      'no --pod-uid: whose capture is to be proved is not known',
      'Set SALLYPORT_POD_UID from the field metadata.uid.',
    );
  return {
    podUid: settings['pod-uid'],
    podIps: settings['pod-ips'],
    nodeIps: settings['node-ips'],
    nodeName: settings['node-name'],
    caFile: settings.ca ?? '/etc/sallyport/trust/ca.crt',
    timeoutMs: wholeNumber(settings.timeout ?? String(DEFAULT_TIMEOUT_SECONDS), 1, 3600, origin('timeout')) * 1000,
    terminationLog: settings['termination-log'] ?? '/dev/termination-log',
  };
}
