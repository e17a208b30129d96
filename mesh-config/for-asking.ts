/** Whether an EnvoyFilter or a WasmPlugin of others is for proxies that ask: by its namespace, context, labels and references. Pure. */
import {mayShareLabels, type Enforcement, type MeshEgressDocument} from '../policy/index.ts';
import type {EnvoyFilter, Reference, WasmPlugin} from './surroundings.ts';

type Labels = Readonly<Record<string, string>>;

/** By it a reference in the root namespace is for every waypoint. */
const WAYPOINTS = {kind: 'GatewayClass', name: 'istio-waypoint'};

/** Namespaces whose sidecars ask; null: every one. */
export const askingIn = ({enforcement, istio}: MeshEgressDocument): readonly string[] | null => {
  const namespaces = enforcement.flatMap((one) => (one.at === 'Sidecar' ? [one.namespace] : []));
  // Objects in the root namespace are for all of them.
  return namespaces.includes(null) || namespaces.includes(istio.rootNamespace)
    ? null
    : (namespaces as readonly string[]);
};

/** Whether an object of `namespace` is for the sidecars of an entry; those of the root namespace, of either, are for all. */
export const isForSidecarsOf = (namespace: string, entry: Pick<Enforcement, 'namespace'>, root: string): boolean =>
  namespace === root || [null, root, namespace].includes(entry.namespace);

/** `context`: as EnvoyFilters name it. What may be for one of them is. */
export function isForAsking(
  {enforcement, egressGateway, istio}: MeshEgressDocument,
  {metadata: {namespace}, spec}: EnvoyFilter | WasmPlugin,
  context: string,
): boolean {
  const root = istio.rootNamespace;
  const refs = referencesOf(spec);
  if (refs !== null) {
    const isForAll =
      namespace === root && refs.some(({kind, name}) => kind === WAYPOINTS.kind && name === WAYPOINTS.name);
    return enforcement.some((one) => one.at === 'Waypoint' && (isForAll || one.namespace === namespace));
  }
  const labels = labelsOf(spec);
  const outbound = context !== 'GATEWAY' && context !== 'SIDECAR_INBOUND';
  const atGateway = context === 'GATEWAY' || context === 'ANY';
  return enforcement.some((one) => {
    switch (one.at) {
      case 'Sidecar':
        return outbound && isForSidecarsOf(namespace, one, root) && mayShareLabels(labels, one.labels);
      case 'EgressGateway':
        return (
          atGateway &&
          [egressGateway.namespace, root].includes(namespace) &&
          mayShareLabels(labels, egressGateway.labels)
        );
      case 'Waypoint':
        return false;
    }
  });
}

/** null: it has none. */
function referencesOf(spec: EnvoyFilter['spec'] | WasmPlugin['spec']): readonly Reference[] | null {
  const {targetRefs = []} = spec;
  const one = 'targetRef' in spec && spec.targetRef !== undefined ? [spec.targetRef] : [];
  const all = [...targetRefs, ...one];
  return all.length === 0 ? null : all;
}

const labelsOf = (spec: EnvoyFilter['spec'] | WasmPlugin['spec']): Labels =>
  ('workloadSelector' in spec
    ? spec.workloadSelector?.labels
    : 'selector' in spec
      ? spec.selector?.matchLabels
      : null) ?? {};
