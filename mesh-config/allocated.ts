/** Addresses that istiod gives to names where sidecars answer DNS: no name has them outside, so every question about them is refused. Pure. */
import {parse} from 'yaml';
import type {MeshEgressDocument} from '../policy/index.ts';
import {askingIn} from './for-asking.ts';
import {isOurs, isSeenIn, nameOf, type ServiceEntry, type Surroundings} from './surroundings.ts';
import type {Conflict} from './verify.ts';

const CAPTURE = 'ISTIO_META_DNS_CAPTURE';
const NO_ADDRESS = 'networking.istio.io/enable-autoallocate-ip';

export function allocated(mesh: MeshEgressDocument, around: Surroundings): readonly Conflict[] {
  const namespaces = askingIn(mesh);
  if (namespaces?.length === 0 || !answersDns(around)) return [];
  return around.serviceEntries
    .filter((entry) => !isOurs(mesh, entry) && isSeenIn(entry, namespaces) && isGivenOne(entry))
    .map((entry) => ({
      code: 'AddressOfTheMesh',
      object: nameOf(entry),
      message: `where sidecars answer DNS its names have an address of the mesh's own, which is none of ${(entry.spec.hosts ?? []).join(', ')}: each is refused (HostMismatch)`,
      fix: `Write its addresses, or label it ${NO_ADDRESS}: "false".`,
    }));
}

/** Istio: "DNS Proxying", "Address auto allocation". */
const isGivenOne = ({metadata, spec: {hosts = [], addresses = [], resolution, location}}: ServiceEntry): boolean =>
  location !== 'MESH_INTERNAL' &&
  addresses.length === 0 &&
  resolution !== undefined &&
  resolution !== 'NONE' &&
  metadata.labels?.[NO_ADDRESS] !== 'false' &&
  hosts.some((host) => !host.startsWith('*'));

/** By the mesh configuration, or by a pod's own. */
function answersDns({mesh, pods}: Surroundings): boolean {
  const own = new RegExp(`${CAPTURE}["']?\\s*:\\s*["']?true`);
  if (pods.some(({metadata}) => own.test(metadata.annotations?.['proxy.istio.io/config'] ?? ''))) return true;
  try {
    const read = parse(mesh ?? '', {version: '1.1'}) as {
      readonly defaultConfig?: {readonly proxyMetadata?: Readonly<Record<string, unknown>>};
    } | null;
    const said = read?.defaultConfig?.proxyMetadata?.[CAPTURE];
    return said === true || said === 'true';
  } catch {
    // That it cannot be read is said elsewhere (MeshUnreadable).
    return false;
  }
}
