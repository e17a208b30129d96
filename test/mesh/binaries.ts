/** istiod and istioctl. */
import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {buildOnce, cacheFolder, go} from '../go-programs.ts';

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
  buildOnce(folder(), (into) => {
    say(`building ${Object.keys(PROGRAMS).join(', ')}`);
    // One after the other: together they want more memory than a small machine has.
    for (const [name, path] of Object.entries(PROGRAMS))
      if (go(SOURCE, ['build', '-ldflags', '-s -w', '-o', `${into}/`, path]) === null)
        throw new Error(`${name} could not be built`);
    const module = go(SOURCE, ['list', '-m', '-f', '{{.Dir}}', 'istio.io/istio'])?.trim() ?? '';
    const crds = join(module, 'manifests/charts/base/files', CRDS);
    if (module === '' || !existsSync(crds)) throw new Error(`${CRDS} could not be found`);
    // The text alone: what is in the module cache is read-only, and may be cleaned away.
    writeFileSync(join(into, CRDS), readFileSync(crds));
  });
}

const folder = (): string => cacheFolder(SOURCE, 'istio', PROGRAMS);
