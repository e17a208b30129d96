/** The workload table of one pod that captures itself, from what the downward API says of it. Pure. */
import {stringify} from 'yaml';
import {SallyportError} from '../runtime/errors.ts';

export interface PodFacts {
  readonly uid: string | null;
  readonly name: string | null;
  readonly namespace: string | null;
  readonly ips: readonly string[];
  readonly serviceAccount: string | null;
  /** The text of the downward API's file of metadata.labels. */
  readonly labels: string;
  /** null: it speaks no mTLS. */
  readonly mtls: {readonly strict: boolean; readonly plainPorts: readonly number[]} | null;
}

/** YAML, as --workloads takes it. Throws SallyportError `Usage` where something is missing. */
export function podTable({uid, name, namespace, ips, serviceAccount, labels, mtls}: PodFacts): string {
  for (const [flag, value] of [
    ['pod-uid', uid],
    ['pod-name', name],
    ['pod-namespace', namespace],
    ['pod-ips', ips.length === 0 ? null : ips],
  ] as const)
    if (value === null)
      throw new SallyportError(
        'Usage',
        `--workload-file without --${flag}`,
        `Set SALLYPORT_${flag.toUpperCase().replace('-', '_')} from the downward API.`,
      );
  return stringify([
    {
      ips,
      namespace,
      // A pod is not told them: a policy that looks at them may select it, which is the safe side.
      namespaceLabels: null,
      name,
      uid,
      labels: labelsIn(labels),
      ...(serviceAccount === null ? {} : {serviceAccount}),
      trustsCa: true,
      // Said here, so that its proxy does as its rules do.
      ...(mtls === null
        ? {mtls: 'Off'}
        : {mtls: mtls.strict ? 'Strict' : 'Permissive', mtlsPlainPorts: mtls.plainPorts}),
    },
  ]);
}

/**
 * Lines of `key="value"` (Kubernetes: downward API volumes), values quoted as in Go. Throws SallyportError `LabelsInvalid`:
 * a label that is not read could be the one that a Deny looks at.
 */
export function labelsIn(text: string): Record<string, string> {
  const lines = text.split('\n').filter((line) => line !== '');
  // Label values have no character that would be escaped (Kubernetes: labels, syntax).
  const pairs = lines.map((line) => /^([^=\s"]+)="([A-Za-z0-9_.-]*)"$/.exec(line));
  const bad = pairs.findIndex((pair) => pair === null);
  if (bad >= 0)
    throw new SallyportError(
      'LabelsInvalid',
      `line ${bad + 1} of --labels-file is no label`,
      'Mount metadata.labels of the downward API there.',
    );
  return Object.fromEntries(pairs.map((pair) => [pair![1]!, pair![2]!]));
}
