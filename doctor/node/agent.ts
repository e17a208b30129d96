/** The agent that runs here: its settings, read as it reads them, and what it knows. */
import {readFileSync} from 'node:fs';
import {setTimeout} from 'node:timers/promises';
import {tproxySettings, type TproxyConfig} from '../../tproxy/settings.ts';
import {openKnowledge} from '../../cluster/open.ts';
import {SallyportError} from '../../runtime/errors.ts';
import {createJsonJournal} from '../../runtime/journal.ts';
import {createMetrics} from '../../runtime/metrics.ts';
import type {Known} from '../../sources/knowledge.ts';
import type {SourceSettings} from '../../sources/settings.ts';
import type {AgentProcess} from './processes.ts';

export interface Agent {
  readonly process: AgentProcess;
  /** Its settings; paths are as we reach them. */
  readonly config: TproxyConfig;
}

/** Reads the settings of its command line, environment and --config. Throws SallyportError where they are not valid now. */
export function agentSettings(process: AgentProcess): Agent {
  const argv = process.flags.map((word, i, words) => {
    if (words[i - 1] === '--config') return process.at(word);
    return word.startsWith('--config=') ? `--config=${process.at(word.slice('--config='.length))}` : word;
  });
  const file = process.env['SALLYPORT_CONFIG'];
  const env = file === undefined ? process.env : {...process.env, SALLYPORT_CONFIG: process.at(file)};
  const config = tproxySettings(argv, env, false);
  return {
    process,
    config: {
      ...config,
      source: reached(process, config.source),
      caDir: process.at(config.caDir),
      stateDir: config.stateDir === null ? null : process.at(config.stateDir),
    },
  };
}

/** Its files by the paths that we reach them at. */
function reached(process: AgentProcess, source: SourceSettings): SourceSettings {
  const at = (path: string | null): string | null => (path === null ? null : process.at(path));
  switch (source.kind) {
    case 'files':
      return {
        kind: 'files',
        policyPaths: source.policyPaths.map((path) => process.at(path)),
        workloadsFile: at(source.workloadsFile),
        refsDir: at(source.refsDir),
      };
    case 'cluster':
      return {kind: 'cluster', kubeconfig: at(source.kubeconfig)};
  }
}

/** The API server answers a node's questions within seconds, or is away. */
const KNOWN_TIMEOUT_MS = 20_000;
const POLL_MS = 20;

/**
 * Its policies and pods, read now, by its own code. `kubeconfig`: ours, instead of its own. Throws SallyportError where the
 * files are not valid, or the API server does not tell in time.
 */
export async function agentKnowledge({config}: Agent, kubeconfig: string | null): Promise<Known> {
  const {source} = config;
  const asked = source.kind === 'cluster' && kubeconfig !== null ? {...source, kubeconfig} : source;
  const opened = await openKnowledge(asked, {
    node: config.nodeName,
    clusterDomain: config.installation.clusterDomain,
    journal: createJsonJournal({line: () => undefined, flush: () => undefined}),
    metrics: createMetrics(),
  });
  try {
    if (opened.known === null) await opened.watch(() => undefined);
    for (const until = Date.now() + KNOWN_TIMEOUT_MS; Date.now() < until; await setTimeout(POLL_MS))
      if (opened.known !== null) return opened.known;
    throw new SallyportError(
      'ApiServerAway',
      'the API server has not told policies and pods in time',
      'See whether it answers: kubectl get --raw /readyz.',
    );
  } finally {
    opened.close();
  }
}

/** The servers of its /etc/resolv.conf, which need not be ours. */
export function agentResolvers({process, config}: Agent): {readonly ip: string; readonly port: number}[] {
  if (config.resolver !== null) return [config.resolver];
  return readFileSync(process.at('/etc/resolv.conf'), 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [keyword, ip] = line.trim().split(/\s+/);
      return keyword === 'nameserver' && ip !== undefined ? [{ip, port: 53}] : [];
    });
}
