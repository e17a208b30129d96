/** The CA of a role's --ca-dir, kept current: the operator's or one that is made, and in a cluster this node's intermediate. */
import {readFileSync} from 'node:fs';
import {hasOwnCa, publishTrust, watchCa, type WatchedCa} from '../../pki/index.ts';
import type {Validity} from '../../runtime/certificate-times.ts';
import {SallyportError} from '../../runtime/errors.ts';
import type {Journal} from '../../runtime/journal.ts';
import type {NodeCaAgent} from './agent.ts';

export interface RoleCaOptions {
  readonly dir: string;
  /** From whose controller it comes, and for which node; null: from nobody, and one is made where there is none. */
  readonly cluster: {readonly kubeconfig: string | null; readonly node: string | null} | null;
  readonly upstreamCaFile: string | null;
  readonly journal: Journal;
  /** Another CA is there, and the bundles beside it are of it. May throw SallyportError. */
  readonly onReplaced?: () => void;
}

/** What a role's first process holds; those that sign watch the directory themselves (signingCa). */
export interface RoleCa {
  /** Why nothing can be signed now, and what is waited for; null: all is well. */
  trouble(): string | null;
  /** Of what signs now; null: nothing does, since there is no CA or it has ended. */
  validity(): Validity | null;
  close(): Promise<void>;
}

/**
 * Makes what has to be made, once, so that processes that start together find the same keys; writes the bundles beside it;
 * and asks the cluster where it comes from there. Never waits for that. Throws SallyportError (Ca...) for a CA that is bad.
 */
export async function openRoleCa(options: RoleCaOptions): Promise<RoleCa> {
  const {dir, cluster, journal} = options;
  const ca = watchCa({
    // From the cluster it is waited for; an operator's own, put there, goes before it.
    ...{dir, awaited: cluster !== null},
    onReplaced: () => {
      journal.notice('info', 'ca.replaced', `${dir} has another CA: certificates made from now on are signed by it`);
      try {
        publish(ca, options);
        options.onReplaced?.();
      } catch (error) {
        if (!(error instanceof SallyportError)) throw error;
        journal.notice('error', 'ca.failed', error.describe());
      }
    },
    onFailed: (error) => {
      // What the agent waits for it says itself.
      if (error.code !== 'CaAwaited')
        journal.notice('error', 'ca.failed', `${error.describe()} The last good one signs on.`);
    },
  });
  await ca.ready;
  publish(ca, options);
  const agent = await agentOf(options);
  return {
    trouble() {
      const trouble = ca.trouble();
      if (trouble === null) return null;
      const waits = agent?.waitsFor() ?? null;
      return waits === null ? trouble.describe() : `${trouble.message}: waiting for ${waits}`;
    },
    validity: () => (ca.trouble() === null ? ca.issuer() : null),
    async close() {
      ca.close();
      await agent?.stop();
    },
  };
}

async function agentOf({dir, cluster, journal}: RoleCaOptions): Promise<NodeCaAgent | null> {
  if (cluster === null || hasOwnCa(dir)) return null;
  const {kubeconfig, node} = cluster;
  if (node === null)
    throw new SallyportError(
      'Usage',
      `${dir} holds no CA, and without --node-name there is none to be had from the cluster`,
      'Give --node-name NAME as "kubectl get nodes" shows it, or SALLYPORT_NODE_NAME from the field spec.nodeName.',
    );
  // Loaded only in a cluster: the client library is most of what a role's process would hold.
  const [{connectionOf}, {keepNodeCa}] = await Promise.all([import('../connection.ts'), import('./agent.ts')]);
  return keepNodeCa({config: connectionOf(kubeconfig, process.env), node, dir, journal});
}

function publish(ca: WatchedCa, {dir, upstreamCaFile}: RoleCaOptions): void {
  if (ca.trouble() !== null) return;
  // What `tls` rules pass through shows its own certificates: pods need the roots that we verify with.
  publishTrust({dir, ca, extra: upstreamCaFile === null ? [] : [readFileSync(upstreamCaFile, 'utf8')]});
}
