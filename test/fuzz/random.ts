/** Numbers that look random and are the same for the same seed: a run can be repeated with `--seed`. */
export interface Random {
  /** 0 to below `n`; 0 for `n` of 0. */
  below(n: number): number;
  pick<T>(list: readonly T[]): T;
  chance(oneIn: number): boolean;
}

/** mulberry32, by 32 bits of state; good enough to choose mutations by. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (n: number): number => (n <= 1 ? 0 : next() % n);
  return {below, pick: (list) => list[below(list.length)]!, chance: (oneIn) => below(oneIn) === 0};
}

/** The seed that an input itself gives: what is done with it (where it is cut) is the same each time it is tried. FNV-1a. */
export function seedOf(bytes: Buffer): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}

/** The input in pieces: whole, each byte alone, and cut at random. */
export function cutsOf(bytes: Buffer): readonly (readonly Buffer[])[] {
  const random = createRandom(seedOf(bytes));
  const pieces: Buffer[] = [];
  const longest = 1 + random.below(64);
  for (let at = 0; at < bytes.length;) {
    const size = 1 + random.below(longest);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  const single: Buffer[] = [];
  for (let at = 0; at < bytes.length; at++) single.push(bytes.subarray(at, at + 1));
  return [[bytes], single, pieces];
}
