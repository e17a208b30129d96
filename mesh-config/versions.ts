/** Istio's versions: which are known, in what the objects differ between them, and who in a cluster is older than was said. */
import type {MeshEgressDocument} from '../policy/index.ts';
import type {Proxy, Surroundings} from './surroundings.ts';
import type {Conflict} from './verify.ts';

export type IstioVersion = MeshEgressDocument['istio']['version'];

/** The newest and the two before it, oldest first. */
export const ISTIO_VERSIONS = ['1.29', '1.30', '1.31'] as const satisfies readonly IstioVersion[];

/**
 * Objects that are not the same for every version, with the reason; versions.test.ts holds the translator to it.
 * Empty: what is generated needs Envoy 1.37 (`upstream_connect_mode`), which Istio has since 1.29, and nothing newer.
 */
export const DIFFERENCES: readonly {
  readonly version: IstioVersion;
  /** `EnvoyFilter sallyport-sidecar-tcp`. */
  readonly object: string;
  readonly why: string;
}[] = [];

/** What cannot be made for a version, and is refused with this code. */
export const REFUSED: readonly {
  readonly versions: readonly IstioVersion[];
  readonly field: string;
  readonly code: string;
  readonly why: string;
}[] = [
  {
    versions: ['1.29', '1.30'],
    field: 'spec.chain',
    code: 'IstioTooOld',
    why: 'their Envoys choose where a request goes before it is asked about',
  },
];

/** Istiod and the proxies, where they are older than spec.istio.version says. What does not tell its version is not judged. */
export function tooOld(mesh: MeshEgressDocument, {istiods, proxies}: Surroundings): readonly Conflict[] {
  const oldest = ISTIO_VERSIONS[0];
  const said = mesh.istio.version;
  return [...istiods, ...proxies].flatMap(({kind, metadata, version}): readonly Conflict[] => {
    if (version === null || !isBefore(version, said)) return [];
    const known = !isBefore(version, oldest);
    return [
      {
        code: 'VersionTooOld',
        object: `${kind} ${metadata.namespace}/${metadata.name}`,
        message: known
          ? `it is Istio ${version}, and spec.istio.version says ${said}`
          : `it is Istio ${version}: its Envoy does not know upstream_connect_mode, and dials before it asks`,
        fix: known ? `Write spec.istio.version: "${version}", or update it.` : `Update it to ${oldest} or newer.`,
      },
    ];
  });
}

/** By major and minor. */
function isBefore(version: string, other: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [otherMajor = 0, otherMinor = 0] = other.split('.').map(Number);
  return major < otherMajor || (major === otherMajor && minor < otherMinor);
}

/** `1.30` of a label's `1.30.2`, or of an image's `docker.io/istio/proxyv2:1.30.2-distroless`; null: neither says it. */
export function versionIn(label: string | undefined, image: string | undefined): Proxy['version'] {
  for (const text of [label, image?.replace(/@sha256:.*$/, '').match(/:([^/:]*)$/)?.[1]]) {
    const found = /^v?(\d+\.\d+)(\.|-|$)/.exec(text ?? '')?.[1];
    if (found !== undefined) return found;
  }
  return null;
}
