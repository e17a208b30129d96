/** The source that settings name: files, or a cluster. */
import type {Journal} from '../runtime/journal.ts';
import type {Metrics} from '../runtime/metrics.ts';
import {FileKnowledge} from '../sources/file-knowledge.ts';
import type {KnowledgeSource} from '../sources/knowledge.ts';
import {watchPeersFile, type Peers} from '../sources/peers.ts';
import {FileRefs, type Refs} from '../sources/refs.ts';
import type {SourceSettings} from '../sources/settings.ts';

export interface OpenOptions {
  /** In a cluster only the pods of this node; null: all. */
  readonly node: string | null;
  readonly clusterDomain: string;
  readonly journal: Journal;
  readonly metrics: Metrics;
}

/** What its UpstreamProxies name: files, or the Secrets and ConfigMaps of the cluster. */
export async function openRefs(source: SourceSettings, journal: Journal): Promise<Refs> {
  switch (source.kind) {
    case 'files':
      return new FileRefs(source.refsDir);
    case 'cluster': {
      const [{connectionOf}, {ClusterRefs}] = await Promise.all([import('./connection.ts'), import('./refs.ts')]);
      return new ClusterRefs(connectionOf(source.kubeconfig, process.env), journal);
    }
  }
}

/** Reads what can be read at once, or throws SallyportError for what is bad at start (exit 3). */
export async function openKnowledge(source: SourceSettings, options: OpenOptions): Promise<KnowledgeSource> {
  switch (source.kind) {
    case 'files':
      return new FileKnowledge({...source, ...options});
    case 'cluster': {
      // Loaded only in a cluster: the client library is most of what a role's process would hold.
      const [{connectionOf}, {ClusterKnowledge}] = await Promise.all([
        import('./connection.ts'),
        import('./knowledge.ts'),
      ]);
      return new ClusterKnowledge({config: connectionOf(source.kubeconfig, process.env), ...options});
    }
  }
}

/** The pods of other nodes, whom those of this one may speak mTLS to: of the cluster, of a file, or null where neither is named. */
export async function openPeers(
  source: SourceSettings,
  {peersFile, journal, changed}: {peersFile: string | null; journal: Journal; changed: () => void},
): Promise<Peers | null> {
  if (peersFile !== null) return watchPeersFile(peersFile, journal, changed);
  if (source.kind === 'files') return null;
  const [{connectionOf}, {watchPeers}] = await Promise.all([import('./connection.ts'), import('./peers.ts')]);
  return watchPeers(connectionOf(source.kubeconfig, process.env), journal, changed);
}
