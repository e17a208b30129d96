/**
 * Which policies select which pods, kept up with one change at a time: 5,000 pods and 1,000 policies are five million
 * pairs, and a change touches a few of them.
 */
import type {PolicyDocument, Workload} from '../../policy/index.ts';
import {PolicyIndex} from '../policy-index.ts';
import type {RunningPod} from './enforced-pods.ts';

type Labels = Readonly<Record<string, string>>;

interface Row {
  readonly pod: RunningPod;
  readonly selectedBy: ReadonlySet<string>;
}

export class EnforcedTable {
  readonly #policies = new PolicyIndex();
  readonly #rows = new Map<string, Row>();
  readonly #namespaces = new Map<string, Labels>();
  readonly #byNamespace = new Map<string, Set<string>>();
  readonly #byNode = new Map<string, Set<string>>();
  readonly #byPolicy = new Map<string, Set<string>>();
  #touched = new Set<string>();

  /** Policies whose pods, or what is known of them, changed since the last time. */
  takeTouched(): ReadonlySet<string> {
    const taken = this.#touched;
    this.#touched = new Set();
    return taken;
  }

  /** `id` is any text; null takes the policy away. */
  setPolicy(id: string, policy: PolicyDocument | null): void {
    const before = this.#policies.get(id);
    this.#policies.set(id, policy);
    this.#touched.add(id);
    const namespaces = new Set([before?.namespace, policy?.namespace].filter((one) => one !== undefined));
    if (namespaces.has(null)) for (const key of this.#rows.keys()) this.#reselect(key);
    else
      for (const namespace of namespaces)
        for (const key of this.#byNamespace.get(namespace!) ?? []) this.#reselect(key);
  }

  setNamespace(name: string, labels: Labels | null): void {
    if (labels === null) this.#namespaces.delete(name);
    else this.#namespaces.set(name, labels);
    for (const key of this.#byNamespace.get(name) ?? []) this.#reselect(key);
  }

  /** `key`: `namespace/name`. */
  setPod(key: string, pod: RunningPod | null): void {
    const before = this.#rows.get(key);
    if (before !== undefined) {
      remove(this.#byNamespace, before.pod.workload.namespace, key);
      remove(this.#byNode, before.pod.node, key);
      for (const id of before.selectedBy) {
        remove(this.#byPolicy, id, key);
        this.#touched.add(id);
      }
      this.#rows.delete(key);
    }
    if (pod === null) return;
    add(this.#byNamespace, pod.workload.namespace, key);
    add(this.#byNode, pod.node, key);
    this.#rows.set(key, {pod, selectedBy: new Set()});
    this.#reselect(key);
  }

  /** What a node enforces has changed. */
  touchNode(node: string): void {
    for (const key of this.#byNode.get(node) ?? [])
      for (const id of this.#rows.get(key)!.selectedBy) this.#touched.add(id);
  }

  /** The pods that a policy selects, for certain or perhaps. */
  *podsOf(id: string): Generator<RunningPod> {
    for (const key of this.#byPolicy.get(id) ?? []) yield this.#rows.get(key)!.pod;
  }

  #reselect(key: string): void {
    const {pod, selectedBy: before} = this.#rows.get(key)!;
    const workload: Workload = {
      ...pod.workload,
      namespaceLabels: this.#namespaces.get(pod.workload.namespace) ?? null,
    };
    const selectedBy = new Set(this.#policies.selecting(workload));
    for (const id of before)
      if (!selectedBy.has(id)) {
        remove(this.#byPolicy, id, key);
        this.#touched.add(id);
      }
    for (const id of selectedBy)
      if (!before.has(id)) {
        add(this.#byPolicy, id, key);
        this.#touched.add(id);
      }
    this.#rows.set(key, {pod, selectedBy});
  }
}

function add(index: Map<string, Set<string>>, of: string, key: string): void {
  const there = index.get(of);
  if (there === undefined) index.set(of, new Set([key]));
  else there.add(key);
}

function remove(index: Map<string, Set<string>>, of: string, key: string): void {
  const there = index.get(of);
  if (there?.delete(key) === true && there.size === 0) index.delete(of);
}
