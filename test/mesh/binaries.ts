/** istiod, istioctl and pilot-agent, and what an image of the proxy needs beside it. */
import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {buildOnce, cacheFolder, go} from '../go-programs.ts';

const SOURCE = join(import.meta.dirname, 'sources/istio');

const PROGRAMS = {
  'pilot-discovery': 'istio.io/istio/pilot/cmd/pilot-discovery',
  istioctl: 'istio.io/istio/istioctl/cmd/istioctl',
  'pilot-agent': 'istio.io/istio/pilot/cmd/pilot-agent',
} as const;

/** What they say of themselves; istiod sends a proxy what its version can read. Without it they are `unknown`. */
const VERSION = '1.31-alpha';
const LDFLAGS = `-s -w -X istio.io/istio/pkg/version.buildVersion=${VERSION} -X istio.io/istio/pkg/version.buildStatus=Clean`;

export type Program = keyof typeof PROGRAMS;

/** Where a program is, or null where it was not built. */
export const istioProgram = (name: Program): string | null => kept(name);

/** Istio's CustomResourceDefinitions as the module has them, kept beside the programs; null where nothing was built. */
export const istioCrds = (): string | null => kept(CRDS);

/** What pilot-agent makes Envoy's first configuration of; null where nothing was built. */
export const istioBootstrap = (): string | null => kept(BOOTSTRAP);

const CRDS = 'crd-all.gen.yaml';
const BOOTSTRAP = 'envoy_bootstrap.json';
/** Texts of the module, by where they are in it. */
const TEXTS = {[CRDS]: 'manifests/charts/base/files', [BOOTSTRAP]: 'tools/packaging/common'} as const;

function kept(name: string): string | null {
  const path = join(folder(), name);
  return existsSync(path) ? path : null;
}

/** Builds what is missing: ten minutes on two cores with nothing cached. Throws where it fails, with Go's own words above. */
export function buildIstio(say: (text: string) => void): void {
  buildOnce(folder(), (into) => {
    say(`building ${Object.keys(PROGRAMS).join(', ')}`);
    // One after the other: together they want more memory than a small machine has.
    for (const [name, path] of Object.entries(PROGRAMS))
      if (go(SOURCE, ['build', '-ldflags', LDFLAGS, '-o', `${into}/`, path]) === null)
        throw new Error(`${name} could not be built`);
    const module = go(SOURCE, ['list', '-m', '-f', '{{.Dir}}', 'istio.io/istio'])?.trim() ?? '';
    for (const [name, where] of Object.entries(TEXTS)) {
      const text = join(module, where, name);
      if (module === '' || !existsSync(text)) throw new Error(`${name} could not be found`);
      // The text alone: what is in the module cache is read-only, and may be cleaned away.
      writeFileSync(join(into, name), readFileSync(text));
    }
  });
}

const folder = (): string => cacheFolder(SOURCE, 'istio', {PROGRAMS, LDFLAGS, TEXTS});

/** The folder with the Gateway API's CustomResourceDefinitions, of the version that this istiod is built with. */
export function gatewayApiCrds(): string {
  const said = go(SOURCE, ['mod', 'download', '-json', 'sigs.k8s.io/gateway-api']);
  if (said === null) throw new Error('sigs.k8s.io/gateway-api cannot be had');
  return join((JSON.parse(said) as {Dir: string}).Dir, 'config/crd/standard');
}
