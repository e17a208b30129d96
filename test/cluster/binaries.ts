/** The programs of a cluster: which, from which sources. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {buildOnce, cacheFolder, go} from '../go-programs.ts';

/** What is built from one go.mod: package paths by the program's name. */
interface Source {
  readonly folder: string;
  /** What needs it: an API alone, or nodes too. */
  readonly part: Part;
  readonly programs: Readonly<Record<string, string>>;
  /** Variables that the linker sets: without them the programs call themselves v0.0.0, and helm believes them. */
  readonly variables?: Readonly<Record<string, string>>;
}

export type Part = 'api' | 'node';

const KUBERNETES = '1.34.2';
const KUBERNETES_VARIABLES = Object.fromEntries(
  ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap((at) => [
    [`${at}.gitVersion`, `v${KUBERNETES}`],
    [`${at}.gitMajor`, '1'],
    [`${at}.gitMinor`, '34'],
    [`${at}.gitTreeState`, 'clean'],
  ]),
);

const SOURCES: readonly Source[] = [
  {
    folder: 'kubernetes',
    part: 'api',
    programs: {
      'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
      kubectl: 'k8s.io/kubernetes/cmd/kubectl',
    },
    variables: KUBERNETES_VARIABLES,
  },
  {
    folder: 'kubernetes',
    part: 'node',
    programs: Object.fromEntries(
      ['kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy'].map((name) => [
        name,
        `k8s.io/kubernetes/cmd/${name}`,
      ]),
    ),
    variables: KUBERNETES_VARIABLES,
  },
  {folder: 'etcd', part: 'api', programs: {etcd: '.'}},
  {folder: 'coredns', part: 'node', programs: {coredns: '.'}},
  {
    folder: 'helm',
    part: 'api',
    programs: {helm: 'helm.sh/helm/v3/cmd/helm'},
    variables: {
      'helm.sh/helm/v3/internal/version.version': 'v3.21.4',
      'helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor': '1',
      'helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor': '34',
      'helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor': '1',
      'helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor': '34',
    },
  },
  {folder: 'kubeconform', part: 'api', programs: {kubeconform: 'github.com/yannh/kubeconform/cmd/kubeconform'}},
];

export type Program =
  | ('kube-apiserver' | 'kubectl' | 'etcd' | 'helm' | 'kubeconform')
  | ('kube-controller-manager' | 'kube-scheduler' | 'kubelet' | 'kube-proxy' | 'coredns');

/** Where a program is, or null where it was not built. */
export function programPath(name: Program): string | null {
  const source = SOURCES.find(({programs}) => name in programs)!;
  const path = join(folderOf(source), name);
  return existsSync(path) ? path : null;
}

/** Builds what is missing: ten minutes on two cores with nothing cached. Throws where a build fails, with Go's own words above. */
export function buildPrograms(parts: readonly Part[], say: (text: string) => void): void {
  for (const source of SOURCES) {
    if (!parts.includes(source.part)) continue;
    const {folder, programs, variables = {}} = source;
    buildOnce(folderOf(source), (into) => {
      say(`building ${Object.keys(programs).join(', ')}`);
      const set = Object.entries(variables).map(([name, value]) => ` -X ${name}=${value}`);
      const packages = [...new Set(Object.values(programs))];
      const args = ['build', '-ldflags', `-s -w${set.join('')}`, '-o', `${into}/`, ...packages];
      if (go(sourceOf(source), args) === null) throw new Error(`${folder} could not be built`);
    });
  }
}

const sourceOf = ({folder}: Source): string => join(import.meta.dirname, 'sources', folder);

function folderOf(source: Source): string {
  const {folder, programs, variables} = source;
  return cacheFolder(sourceOf(source), folder, {folder, programs, variables});
}
