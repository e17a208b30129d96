/** Watches the pods of a cluster as extauthz does, until there are so many; then says what it holds, in megabytes. */
import {connectionOf} from '../../cluster/connection.ts';
import {watchWorkloads} from '../../cluster/workloads.ts';

const [kubeconfig, wanted] = process.argv.slice(2) as [string, string];
const resident = (): number => {
  globalThis.gc?.();
  return Math.round(process.memoryUsage().rss / 1e6);
};
const config = connectionOf(kubeconfig, {});
const empty = resident();
const workloads = watchWorkloads({
  config,
  node: null,
  onChange: (entries) => {
    if (entries.length < Number(wanted)) return;
    // What the list left behind is collected before it is looked at.
    setTimeout(() => {
      console.log(JSON.stringify({resident: resident(), empty}));
      workloads.stop();
      process.exit(0);
    }, 2_000);
  },
  onTrouble: (message) => console.error(message),
});
