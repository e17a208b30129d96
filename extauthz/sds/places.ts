/**
 * How many names may be handed out at once, of all streams together. A name's certificate takes about 50 kB in Envoy and a
 * few here, and clients choose the names, so the oldest makes room for the next: Envoy asks again when it needs it. Each
 * kind has room of its own, so that names that somebody invents (they are refused) push out no name that is in use.
 */
export type Kind = 'inspected' | 'refused' | 'none';

export interface Room {
  readonly inspected: number;
  readonly refused: number;
  readonly none: number;
}

/** 4096 certificates are about 200 MB in one Envoy. */
export const DEFAULT_ROOM: Room = {inspected: 4096, refused: 1024, none: 1024};

/** The places of one service; an owner is a stream. */
export class Places<Owner extends object> {
  readonly #room: Room;
  readonly #places: Readonly<Record<Kind, Map<string, {readonly owner: Owner; readonly name: string}>>> = {
    inspected: new Map(),
    refused: new Map(),
    none: new Map(),
  };
  readonly #ids = new WeakMap<Owner, number>();
  #next = 0;

  constructor(room: Room) {
    this.#room = room;
  }

  /** Takes the newest place for a name, or moves it there; answers who had to make room. */
  take(owner: Owner, name: string, kind: Kind): {readonly owner: Owner; readonly name: string} | null {
    const key = this.#key(owner, name);
    for (const places of Object.values(this.#places)) places.delete(key);
    const places = this.#places[kind];
    places.set(key, {owner, name});
    if (places.size <= this.#room[kind]) return null;
    const [oldest, evicted] = places.entries().next().value!;
    places.delete(oldest);
    return evicted;
  }

  leave(owner: Owner, name: string): void {
    const key = this.#key(owner, name);
    for (const places of Object.values(this.#places)) places.delete(key);
  }

  taken(kind: Kind): number {
    return this.#places[kind].size;
  }

  #key(owner: Owner, name: string): string {
    let id = this.#ids.get(owner);
    if (id === undefined) this.#ids.set(owner, (id = this.#next++));
    return `${id} ${name}`;
  }
}
