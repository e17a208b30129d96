/** Whether an EnvoyFilter or a WasmPlugin of others is for proxies that ask: by its namespace, context, labels and references. Pure. */
import type {MeshEgressDocument} from '../policy/index.ts';
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
        return (
          outbound &&
          (namespace === root || [null, root, namespace].includes(one.namespace)) &&
          mayBeOf(labels, one.labels)
        );
      case 'EgressGateway':
        return (
          atGateway && [egressGateway.namespace, root].includes(namespace) && mayBeOf(labels, egressGateway.labels)
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

/** Labels that want two values of one key select other pods. */
const mayBeOf = (wanted: Labels, labels: Labels): boolean =>
  Object.entries(wanted).every(([key, value]) => (labels[key] ?? value) === value);
