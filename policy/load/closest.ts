/** Did you mean ...? */

/** The candidate nearest to what was written, at most a third of its letters away; null: none is. */
export function closest(written: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(Math.min(written.length, 64) / 3)) + 1;
  for (const candidate of candidates) {
    if (candidate.toLowerCase() === written.toLowerCase()) return candidate;
    const distance = editDistance(written.slice(0, 64), candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions and substitutions (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({length: b.length + 1}, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
