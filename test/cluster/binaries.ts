/** The programs of a cluster, built from the Go module proxy into the per-user cache, keyed by what pins them. */
import {spawnSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {existsSync, mkdirSync, readFileSync, renameSync, rmSync} from 'node:fs';
import {homedir} from 'node:os';
import {join} from 'node:path';

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
    const folder = folderOf(source);
    if (!parts.includes(source.part) || existsSync(folder)) continue;
    say(`building ${Object.keys(source.programs).join(', ')}`);
    const building = `${folder}.${process.pid}`;
    mkdirSync(building, {recursive: true});
    const set = Object.entries(source.variables ?? {}).map(([name, value]) => ` -X ${name}=${value}`);
    const packages = [...new Set(Object.values(source.programs))];
    const built = spawnSync(
      'nice',
      ['-n', '15', 'go', 'build', '-ldflags', `-s -w${set.join('')}`, '-o', `${building}/`, ...packages],
      {
        cwd: join(import.meta.dirname, 'sources', source.folder),
        // go.sum holds what is downloaded to its hashes.
        env: {...process.env, CGO_ENABLED: '0', GOFLAGS: '-trimpath -buildvcs=false -mod=readonly'},
        stdio: ['ignore', 'inherit', 'inherit'],
      },
    );
    if (built.status !== 0) {
      rmSync(building, {recursive: true, force: true});
      throw new Error(`${source.folder} could not be built`);
    }
    // Named only when it is whole: an interrupted build is no program. Somebody else may have built it meanwhile.
    if (existsSync(folder)) rmSync(building, {recursive: true, force: true});
    else renameSync(building, folder);
  }
}

function folderOf(source: Source): string {
  const {folder, programs, variables} = source;
  const pins = ['go.mod', 'go.sum'].map((file) =>
    readFileSync(join(import.meta.dirname, 'sources', source.folder, file)),
  );
  const hash = createHash('sha256')
    .update(Buffer.concat(pins))
    .update(JSON.stringify({folder, programs, variables}))
    .digest('hex')
    .slice(0, 12);
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sallyport');
  return join(cache, `${source.folder}-${hash}`);
}
