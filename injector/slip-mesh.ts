/** Ways out of Istio's redirection, for pods whose guard is their sidecar (docs/GUARD.md, docs/MESH.md). */
import type {Container, Pod} from './pod.ts';

/** Istio's own containers: its proxy is not captured, which is what makes its user the way around it. */
export const ISTIO_CONTAINERS: ReadonlySet<string> = new Set(['istio-proxy', 'istio-init', 'istio-validation']);
/** What Istio's templates add to them; a container of its author's that takes one of the names gets no more. */
export const ISTIO_NEEDS: ReadonlySet<string> = new Set(['NET_ADMIN', 'NET_RAW']);

const ISTIO_UID = 1337;
const PREFIX = 'traffic.sidecar.istio.io/';

/** Annotations that take traffic out of the mesh, and the values that do not. */
const OUTWARD: Readonly<Record<string, readonly string[]>> = {
  [`${PREFIX}excludeOutboundIPRanges`]: [''],
  [`${PREFIX}excludeOutboundPorts`]: [''],
  [`${PREFIX}excludeInterfaces`]: [''],
  // Only what it names is redirected then.
  [`${PREFIX}includeOutboundIPRanges`]: ['*'],
  [`${PREFIX}kubevirtInterfaces`]: [''],
  'istio.io/reroute-virtual-interfaces': [''],
  'sidecar.istio.io/interceptionMode': ['REDIRECT', 'TPROXY'],
};

/** As sentences with the fix; empty: none. Inbound ports may be left out: nothing leaves by them. */
export function outOfTheMesh({metadata: {annotations = {}}}: Pod): string[] {
  return Object.entries(annotations)
    .filter(([name, value]) => {
      const known = Object.hasOwn(OUTWARD, name) ? OUTWARD[name] : undefined;
      if (known !== undefined) return !known.includes(value.trim());
      // A kind of exclusion that is newer than this list.
      return name.startsWith(`${PREFIX}exclude`) && !name.includes('nbound') && value.trim() !== '';
    })
    .map(
      ([name, value]) =>
        `the annotation ${name}: ${JSON.stringify(value)} takes traffic out of the mesh. Remove it, or write a policy for it.`,
    );
}

/** The user and the group that Istio's rules let pass; supplementary groups are nobody's there. */
export function wearsIstiosUser(container: Container, pod: Pod): string[] {
  const of = (field: string): unknown => container.securityContext?.[field] ?? pod.spec.securityContext?.[field];
  return of('runAsUser') === ISTIO_UID || of('runAsGroup') === ISTIO_UID
    ? [`container ${container.name} runs as ${ISTIO_UID}, whom Istio does not capture. Write another user and group.`]
    : [];
}
