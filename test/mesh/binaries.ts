/** istiod and istioctl, built from the Go module proxy into the per-user cache, keyed by what pins them. */
import {spawnSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {homedir} from 'node:os';
import {join} from 'node:path';

const SOURCE = join(import.meta.dirname, 'sources/istio');

const PROGRAMS = {
  'pilot-discovery': 'istio.io/istio/pilot/cmd/pilot-discovery',
  istioctl: 'istio.io/istio/istioctl/cmd/istioctl',
} as const;

export type Program = keyof typeof PROGRAMS;

/** Where a program is, or null where it was not built. */
export function istioProgram(name: Program): string | null {
  const path = join(folder(), name);
  return existsSync(path) ? path : null;
}

/** Istio's CustomResourceDefinitions as the module has them, kept beside the programs; null where nothing was built. */
export function istioCrds(): string | null {
  const path = join(folder(), CRDS);
  return existsSync(path) ? path : null;
}

const CRDS = 'crd-all.gen.yaml';

/** Builds what is missing: ten minutes on two cores with nothing cached. Throws where it fails, with Go's own words above. */
export function buildIstio(say: (text: string) => void): void {
  const done = folder();
  if (existsSync(done)) return;
  say(`building ${Object.keys(PROGRAMS).join(', ')}`);
  const building = `${done}.${process.pid}`;
  mkdirSync(building, {recursive: true});
  const failed = (what: string): never => {
    rmSync(building, {recursive: true, force: true});
    throw new Error(`${what} could not be built`);
  };
  // One after the other: together they want more memory than a small machine has.
  for (const [name, path] of Object.entries(PROGRAMS))
    if (go(['build', '-ldflags', '-s -w', '-o', `${building}/`, path]).status !== 0) failed(name);
  const module = go(['list', '-m', '-f', '{{.Dir}}', 'istio.io/istio']).stdout.trim();
  const crds = join(module, 'manifests/charts/base/files', CRDS);
  if (module === '' || !existsSync(crds)) failed(CRDS);
  // The text alone: what is in the module cache is read-only, and may be cleaned away.
  writeFileSync(join(building, CRDS), readFileSync(crds));
  // Named only when it is whole: an interrupted build is no program.
  renameSync(building, done);
}

function go(args: readonly string[]): {readonly status: number | null; readonly stdout: string} {
  return spawnSync('nice', ['-n', '15', 'go', ...args], {
    cwd: SOURCE,
    encoding: 'utf8',
    // go.sum holds what is downloaded to its hashes.
    env: {...process.env, CGO_ENABLED: '0', GOFLAGS: '-trimpath -buildvcs=false -mod=readonly'},
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

function folder(): string {
  const pins = ['go.mod', 'go.sum'].map((file) => readFileSync(join(SOURCE, file)));
  const hash = createHash('sha256')
    .update(Buffer.concat(pins))
    .update(JSON.stringify(PROGRAMS))
    .digest('hex')
    .slice(0, 12);
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sallyport');
  return join(cache, `istio-${hash}`);
}
