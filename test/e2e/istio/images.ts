/** istiod and Istio's proxy as images, made without a registry: Istio's own pilot-agent beside plain Envoy. */
import {chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {ENVOY_VERSIONS, envoyBinary} from '../../envoy/binary.ts';
import {istioBootstrap, istioProgram, type Program} from '../../mesh/binaries.ts';
import {debianLayer, image, layerOf, type Image} from '../cluster/images.ts';

/** As Istio's charts put them together: HUB/pilot:TAG, HUB/proxyv2:TAG. */
export const HUB = 'localhost';
/** It tells the version, as Istio's own images do. */
export const TAG = '1.31.0';

const PATHS = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** What istio-init redirects a pod with, and what it looks at the pod with. */
const DEBIAN = ['iptables', 'iproute2'];
/** Who runs both; istio-init alone is root, as its security context says. */
const USER = 'istio-proxy:x:1337:1337::/:/usr/sbin/nologin';

/**
 * The bootstrap of waypoints names an extension that only Istio's own build of Envoy has; everything else of the template is
 * Envoy's own.
 */
const METADATA_DISCOVERY =
  /\{\{- if \.metadata_discovery \}\}\s*\{\s*"name": "metadata_discovery"[\s\S]*?\{\{- end \}\}/;

/** Makes both in `dir`. Throws where Istio's programs or Envoy are not there. */
export async function istioImages(dir: string, say: (text: string) => void): Promise<Image[]> {
  mkdirSync(dir, {recursive: true});
  const scratch = mkdtempSync(join(tmpdir(), 'sallyport-istio-images-'));
  try {
    const debian = debianLayer(DEBIAN, say);
    say('images of Istio');
    return [
      await image(
        dir,
        'pilot',
        [layerOf(scratch, pilotFiles(scratch))],
        {
          ...{Env: [PATHS], User: '1337:1337', Entrypoint: ['/usr/local/bin/pilot-discovery']},
        },
        [],
        TAG,
      ),
      await image(
        dir,
        'proxyv2',
        [debian, layerOf(scratch, proxyFiles(scratch))],
        {
          ...{Env: [PATHS], Entrypoint: ['/usr/local/bin/pilot-agent']},
        },
        [],
        TAG,
      ),
    ];
  } finally {
    rmSync(scratch, {recursive: true, force: true});
  }
}

function pilotFiles(scratch: string): string {
  const root = join(scratch, 'pilot');
  mkdirSync(join(root, 'tmp'), {recursive: true});
  chmodSync(join(root, 'tmp'), 0o1777);
  put(root, 'usr/local/bin/pilot-discovery', built('pilot-discovery'));
  return root;
}

function proxyFiles(scratch: string): string {
  const root = join(scratch, 'proxy');
  put(root, 'usr/local/bin/pilot-agent', built('pilot-agent'));
  put(root, 'usr/local/bin/envoy', there(envoyBinary(ENVOY_VERSIONS[0]!), 'Envoy'));
  const template = readFileSync(there(istioBootstrap(), 'Istio'), 'utf8');
  if (!METADATA_DISCOVERY.test(template)) throw new Error('the bootstrap template is not the one that is known here');
  mkdirSync(join(root, 'var/lib/istio/envoy'), {recursive: true});
  writeFileSync(join(root, 'var/lib/istio/envoy/envoy_bootstrap_tmpl.json'), template.replace(METADATA_DISCOVERY, ''));
  mkdirSync(join(root, 'etc'));
  writeFileSync(join(root, 'etc/passwd'), `root:x:0:0::/root:/usr/sbin/nologin\n${USER}\n`);
  return root;
}

function put(root: string, path: string, from: string): void {
  mkdirSync(join(root, path, '..'), {recursive: true});
  cpSync(from, join(root, path));
  chmodSync(join(root, path), 0o755);
}

const built = (name: Program): string => there(istioProgram(name), 'Istio');

function there(path: string | null, what: string): string {
  if (path === null) throw new Error(`${what} is not built: node cli/setup.mjs mesh`);
  return path;
}
