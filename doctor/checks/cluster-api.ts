/** The API server answers, and its clock is ours. */
import type {Check} from '../check.ts';
import {blind, fail, ok, warn} from '../outcome.ts';
import type {ClusterWorld} from '../cluster/world.ts';

export const clusterApi: Check<ClusterWorld> = {
  name: 'cluster.api',
  looks: 'the API server',
  run: async ({api}) => {
    const version = await api.get<{gitVersion?: string}>('/version');
    const {status, body} = await api.ask('GET', '/readyz');
    if (status === 403) return ok(`Kubernetes ${version?.gitVersion ?? ''} answers`);
    if (status !== 200)
      return fail(
        `it answers and is not ready: ${String(body).slice(0, 200)}`,
        'See kubectl get --raw "/readyz?verbose".',
      );
    return ok(`Kubernetes ${version?.gitVersion ?? ''} is ready`);
  },
};

/** Certificates are dated back two days and leases last seconds: a minute is seen, five of them are a fault. */
const MAX_SKEW_MS = 60_000;
const FAULT_SKEW_MS = 300_000;

export const clusterClock: Check<ClusterWorld> = {
  name: 'cluster.clock',
  looks: "this machine's clock against the API server's",
  run: async ({api, now}) => {
    const before = now();
    const {dateMs} = await api.ask('GET', '/version');
    const after = now();
    if (dateMs === null) return blind('its answers have no Date header', 'Ask it without a proxy in between.');
    return skewed(dateMs, before, after);
  },
};

/** Pure. A Date header has whole seconds, and was written at some moment between the two. */
export function skewed(dateMs: number, beforeMs: number, afterMs: number): ReturnType<typeof ok> {
  const behind = beforeMs - (dateMs + 1000);
  const ahead = dateMs - afterMs;
  const skewMs = Math.max(0, behind, ahead);
  const said = `they differ by ${Math.round(skewMs / 1000)} s`;
  const fix = 'Run an NTP client on both: certificates and leases go by the clock.';
  if (skewMs > FAULT_SKEW_MS) return fail(said, fix);
  return skewMs > MAX_SKEW_MS ? warn(said, fix) : ok(`${said} at most`.replace('0 s at most', 'less than a second'));
}
