/** Namespaces that istiod does not look at: what is generated there is read by nobody, without a word. Pure. */
import {parse} from 'yaml';
import type {MeshEgressDocument} from '../policy/index.ts';
import type {Surroundings} from './surroundings.ts';
import type {Conflict} from './verify.ts';

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

export function undiscovered(mesh: MeshEgressDocument, around: Surroundings): readonly Conflict[] {
  const selectors = selectorsOf(around.mesh);
  if (selectors.length === 0 || mesh.enforcement.length === 0) return [];
  const needed = new Set([mesh.istio.rootNamespace, mesh.extauthz.namespace]);
  for (const {at, namespace} of mesh.enforcement) {
    if (namespace !== null) needed.add(namespace);
    if (at === 'EgressGateway') needed.add(mesh.egressGateway.namespace);
  }
  return [...needed].flatMap((namespace): readonly Conflict[] => {
    const labels = around.namespaces.get(namespace);
    if (labels === undefined || selectors.some((selector) => selects(selector, labels))) return [];
    return [
      {
        code: 'NotDiscovered',
        object: `Namespace ${namespace}`,
        message:
          'by discoverySelectors istiod does not look at it: what is generated there, or asked there, is not there for it',
        fix: 'Give it the labels that discoverySelectors of the mesh configuration want.',
      },
    ];
  });
}

/** That it cannot be read is said elsewhere (MeshUnreadable). */
function selectorsOf(mesh: string | null): readonly Selector[] {
  try {
    const read = parse(mesh ?? '', {version: '1.1'}) as {readonly discoverySelectors?: readonly Selector[]} | null;
    return read?.discoverySelectors ?? [];
  } catch {
    return [];
  }
}

/** Kubernetes: "Label selectors". An operator that is not known selects nothing, so that it is said. */
function selects(
  {matchLabels = {}, matchExpressions = []}: Selector,
  labels: Readonly<Record<string, string>>,
): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({key, operator, values = []}) => {
      const value = labels[key];
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
        default:
          return false;
      }
    })
  );
}
