/** Of each object the last version that was good: a bad one never replaces it (POLICY.md, "Refused at load"). */
import type {Document, Finding, Kind, NotLoaded} from '../policy/index.ts';
import type {ClusterDocument} from './documents.ts';

interface Kept {
  readonly kind: Kind;
  /** null for what is the cluster's. */
  readonly namespace: string | null;
  readonly now: ClusterDocument;
  /** null: there never was one. */
  readonly good: Document | null;
}

export class LastGood {
  readonly #kept = new Map<string, Kept>();

  /** `key` as the reflector has it: `namespace/name`, or `name`. `now` null: the object is gone, and its predecessors with it. */
  set(kind: Kind, key: string, now: ClusterDocument | null): void {
    const id = `${kind} ${key}`;
    const before = this.#kept.get(id);
    this.#kept.delete(id);
    if (now === null) return;
    const slash = key.indexOf('/');
    // An object of the same name that was made anew is another one, whether or not anybody saw the first go.
    const predecessor = before?.now.uid === now.uid ? before.good : null;
    const namespace = slash === -1 ? null : key.slice(0, slash);
    this.#kept.set(id, {kind, namespace, now, good: now.document ?? predecessor});
  }

  documents(): Document[] {
    return [...this.#kept.values()].flatMap(({good}) => good ?? []);
  }

  /**
   * Where the objects are that never were good: a policy's namespace, null for a cluster policy's. Null for an UpstreamProxy's
   * too: which destinations it would carry is not known, and none of them may be dialled directly instead.
   */
  notLoaded(): NotLoaded {
    const bad = [...this.#kept.values()].filter(({good}) => good === null);
    return [...new Set(bad.map(({namespace}) => namespace))];
  }

  /** What is wrong with the objects as they are now, one by one. */
  findings(): Finding[] {
    return [...this.#kept.values()].flatMap(({now}) => now.findings);
  }
}
