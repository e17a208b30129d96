/** Who is told of peers, so many of each pod: what they do not take is kept for them, and that is memory of all. */

/** To whom lines are written, and what he has not taken yet. */
export interface Listener {
  write(line: string): void;
  readonly waitingBytes: number;
  end(): void;
}

/** Its proxy has one; a second while the first one's end is not noticed yet (it was killed, and has begun again). */
const MAX_OF_POD = 2;

export class PodListeners {
  readonly #byPod = new Map<string, Listener[]>();

  /** The oldest of the pod's is ended where there are too many. Answers how to take it out again. */
  add(podUid: string, listener: Listener): () => void {
    const of = this.#byPod.get(podUid) ?? [];
    this.#byPod.set(podUid, of);
    of.push(listener);
    if (of.length > MAX_OF_POD) of.shift()!.end();
    return () => {
      const at = of.indexOf(listener);
      if (at !== -1) of.splice(at, 1);
      if (of.length === 0 && this.#byPod.get(podUid) === of) this.#byPod.delete(podUid);
    };
  }

  /** A copy: who is ended while it is gone through takes himself out. */
  all(): Listener[] {
    return [...this.#byPod.values()].flat();
  }
}
