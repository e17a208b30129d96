/** Makes an input smaller that breaks something, as long as it still breaks the same thing. */

/** Tries at most; a case that is hard to make smaller is still a case. */
const MAX_TRIES = 5_000;

/** `breaks` says whether a smaller input still does. */
export function minimise(input: Buffer, breaks: (candidate: Buffer) => boolean): Buffer {
  let best = input;
  let tries = 0;
  for (let size = Math.max(1, best.length >> 1); size > 0 && tries < MAX_TRIES; size = size === 1 ? 0 : size >> 1) {
    for (let at = 0; at < best.length && tries < MAX_TRIES;) {
      const candidate = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      tries++;
      if (candidate.length < best.length && breaks(candidate)) best = candidate;
      else at += size;
    }
  }
  // Plain letters say more than bytes that happened to be there.
  for (let at = 0; at < best.length && tries < MAX_TRIES; at++) {
    if (best[at] === 0x61) continue;
    const candidate = Buffer.from(best);
    candidate[at] = 0x61;
    tries++;
    if (breaks(candidate)) best = candidate;
  }
  return best;
}
