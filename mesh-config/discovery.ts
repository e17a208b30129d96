/** Namespaces that istiod does not look at: what is generated there is read by nobody, without a word. Pure. */
import {parse} from 'yaml';
import {matchesLabels, type MeshEgressDocument, type WrittenSelector} from '../policy/index.ts';
import type {Surroundings} from './surroundings.ts';
import type {Conflict} from './verify.ts';

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
    if (labels === undefined || selectors.some((selector) => matchesLabels(selector, labels))) return [];
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
function selectorsOf(mesh: string | null): readonly WrittenSelector[] {
  try {
    const read = parse(mesh ?? '', {version: '1.1'}) as {
      readonly discoverySelectors?: readonly WrittenSelector[];
    } | null;
    return read?.discoverySelectors ?? [];
  } catch {
    return [];
  }
}
