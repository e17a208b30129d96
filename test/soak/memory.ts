/** Whether memory stays flat: what was resident while requests went through, and the verdict on it. */

export interface Sample {
  readonly requests: number;
  /** By process: `supervisor`, `worker`; resident bytes. */
  readonly resident: Readonly<Record<string, number>>;
  /** The workers' JavaScript heap in use, from /metrics. */
  readonly heapBytes: number;
}

/**
 * The last quarter may be above the second by this share, or by this much where that is more: the collector's own
 * breathing. A leak of 100 bytes a request is 25 MB between the middles of the two quarters of half a million.
 */
export const MAX_GROWTH_SHARE = 0.05;
export const MAX_GROWTH_BYTES = 12 * 1024 * 1024;

export interface Verdict {
  readonly name: string;
  readonly secondQuarter: number;
  readonly lastQuarter: number;
  readonly flat: boolean;
}

/** Second quarter against last, per process and for the heap; the first is warm-up. Needs at least 8 samples. */
export function verdicts(samples: readonly Sample[]): Verdict[] {
  if (samples.length < 8)
    throw new Error(`${samples.length} samples are too few to say anything: ask for more requests`);
  const quarter = samples.length / 4;
  const middle = (from: number, of: (sample: Sample) => number): number => {
    const values = samples.slice(Math.floor(from * quarter), Math.floor((from + 1) * quarter)).map(of);
    values.sort((a, b) => a - b);
    return values[Math.floor(values.length / 2)]!;
  };
  const judge = (name: string, of: (sample: Sample) => number): Verdict => {
    const secondQuarter = middle(1, of);
    const lastQuarter = middle(3, of);
    const allowed = Math.max(secondQuarter * MAX_GROWTH_SHARE, MAX_GROWTH_BYTES);
    return {name, secondQuarter, lastQuarter, flat: lastQuarter - secondQuarter <= allowed};
  };
  const processes = Object.keys(samples[0]!.resident);
  return [
    ...processes.map((name) => judge(`${name}, resident`, (sample) => sample.resident[name] ?? 0)),
    judge('worker, JavaScript heap', (sample) => sample.heapBytes),
  ];
}
