/** Where policies and workloads come from, as flags say it: the same for both enforcement points. */
import {SallyportError} from '../runtime/errors.ts';
import type {FlagTable, Settings} from '../runtime/flags.ts';

export const SOURCE_FLAGS = {
  policy: {
    kind: 'list',
    value: 'PATH',
    help: 'Policy files or directories (.yaml, .yml, .json), watched. Default: the policies of the cluster.',
  },
  workloads: {kind: 'text', value: 'FILE', help: 'With --policy: the workload table, YAML, watched.'},
  refs: {
    kind: 'text',
    value: 'DIR',
    help: 'With --policy: what secretRef and configMapRef find, as secrets|configmaps/NAMESPACE/NAME/KEY.',
  },
  kubeconfig: {
    kind: 'text',
    value: 'FILE',
    help: "Without --policy: the cluster whose policies and pods count. Default: the pod's service account.",
  },
} as const satisfies FlagTable;

/** One or the other, since two would have to agree. */
export type SourceSettings =
  | {
      readonly kind: 'files';
      readonly policyPaths: readonly string[];
      readonly workloadsFile: string | null;
      readonly refsDir: string | null;
    }
  /** `kubeconfig` null: the pod's service account. */
  | {readonly kind: 'cluster'; readonly kubeconfig: string | null};

/** Throws SallyportError `Usage`. */
export function sourceOf(
  settings: Settings<typeof SOURCE_FLAGS>,
  at: (name: keyof typeof SOURCE_FLAGS) => string,
  env: NodeJS.ProcessEnv,
): SourceSettings {
  const {policy, workloads, refs, kubeconfig} = settings;
  if (kubeconfig !== null && (policy.length > 0 || workloads !== null))
    throw new SallyportError(
      'Usage',
      `${at('kubeconfig')} and ${at(policy.length > 0 ? 'policy' : 'workloads')}: two that tell policies and workloads`,
      'Give --policy and --workloads for files, or --kubeconfig for a cluster.',
    );
  if (policy.length > 0) return {kind: 'files', policyPaths: policy, workloadsFile: workloads, refsDir: refs};
  for (const name of ['workloads', 'refs'] as const)
    if (settings[name] !== null)
      throw new SallyportError(
        'Usage',
        `${at(name)} without --policy`,
        'Name at least one file or directory of policies: --policy policies/. In a cluster pods, Secrets and ConfigMaps come from the API server.',
      );
  if (kubeconfig === null && env['KUBERNETES_SERVICE_HOST'] === undefined)
    throw new SallyportError(
      'Usage',
      'no --policy, no --kubeconfig, and this is no pod',
      'Name files or directories of policies (--policy policies/), or a cluster (--kubeconfig FILE).',
    );
  return {kind: 'cluster', kubeconfig};
}
