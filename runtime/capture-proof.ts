/**
 * What the proxy tells a captured pod about itself, and the guard reads (docs/GUARD.md). Who is asked is told nothing
 * that the pod does not know of itself already, but the node's name and how it is held.
 */

export interface CaptureProof {
  /** Whom the proxy takes the caller for, by the packet's source address. */
  readonly pod: {readonly namespace: string; readonly name: string; readonly uid: string};
  /** The node that the proxy runs on. */
  readonly node: string;
  /** `locked`: what is not handed to the proxy is refused. `captured`: only Audit policies select it. */
  readonly hold: 'locked' | 'captured';
  /** The proxy's version. */
  readonly version: string;
}

/** The one path that is answered. */
export const PROOF_PATH = '/proof';
/** A proof is a few hundred bytes; names of namespaces and pods have at most 253. */
export const MAX_PROOF_BYTES = 4096;

/** The proof in a text; null: there is none. */
export function parseProof(text: string): CaptureProof | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const {pod, node, hold, version} = fieldsOf(value);
  const {namespace, name, uid} = fieldsOf(pod);
  if (typeof namespace !== 'string' || typeof name !== 'string' || typeof uid !== 'string') return null;
  if (typeof node !== 'string' || typeof version !== 'string' || (hold !== 'locked' && hold !== 'captured'))
    return null;
  return {pod: {namespace, name, uid}, node, hold, version};
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
