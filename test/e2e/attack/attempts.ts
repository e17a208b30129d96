/** All ways at once from inside a pod, and what came of each: one `kubectl exec`, so that a moment of weakness is used by all. */
import {newToken} from '../../escape/token.ts';
import type {Witness} from '../../escape/witness.ts';
import type {Cluster} from '../cluster/cluster.ts';
import type {Way} from './ways.ts';

export interface Attempted {
  readonly way: Way;
  /** Where it arrived; null: nowhere. */
  readonly out: string | null;
}

/** Who tries: a pod, and whether it is one that nobody holds. */
export interface From {
  readonly namespace: string;
  readonly pod: string;
  readonly free: boolean;
}

/** What is on its way when a program has ended is heard within this. */
const SETTLE_MS = 500;

/** One program that makes all attempts side by side and prints what each said. */
export function scriptOf(ways: readonly Way[], tokens: readonly string[], free: boolean): string {
  const lines = ways.map((way, n) => {
    const script = free ? (way.free ?? way.script) : way.script;
    return `(T=${tokens[n]}; ${script}) > /tmp/said.${n} 2>&1 < /dev/null &`;
  });
  return `${lines.join('\n')}\nwait\n${ways.map((_, n) => `echo '--- ${n}'; head -c 2000 /tmp/said.${n}; echo`).join('\n')}\n`;
}

/** Never rejects for what the attempts did; `failed` says why the pod could not try at all. */
export async function attempt(
  cluster: Cluster,
  witness: Witness,
  ways: readonly Way[],
  {namespace, pod, free}: From,
): Promise<Attempted[]> {
  const tokens = ways.map(() => newToken());
  const ran = await cluster.kubectl(
    ['-n', namespace, 'exec', '-i', pod, '-c', 'app', '--', 'sh', '-s'],
    scriptOf(ways, tokens, free),
  );
  if (!ran.stdout.includes('--- 0')) throw new Error(`the pod ${pod} could not try: ${ran.stderr}${ran.stdout}`);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const said = ran.stdout.split(/^--- \d+$/m).slice(1);
  return ways.map((way, n) => {
    if (way.answer !== undefined) return {way, out: way.answer.test(said[n]!) ? 'it was answered' : null};
    return {way, out: witness.heard(tokens[n]!)[0] ?? null};
  });
}

/** Which of them got out though they are not known to; an empty text is what is hoped for. */
export const escaped = (attempts: readonly Attempted[]): string =>
  attempts
    .filter(({way, out}) => out !== null && way.open === undefined)
    .map(({way, out}) => `${way.id}: ${out}`)
    .join('; ');

/** Which prove nothing, since they do not even arrive from a pod that nobody holds. */
export const unproved = (attempts: readonly Attempted[]): string =>
  attempts
    .filter(({out}) => out === null)
    .map(({way}) => way.id)
    .join(', ');
