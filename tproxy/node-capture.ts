/** The capture as the supervisor runs it: workloads and policies in, members of the ruleset's sets out. */
import {readFileSync} from 'node:fs';
import {compilePolicies, modesSelecting, type Document, type Endpoint, type PolicySet} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import type {Journal} from '../runtime/journal.ts';
import {TPROXY_ROUTE_TABLE} from '../runtime/names.ts';
import {createCapture, type CaptureStatus, type NodeRules} from './capture/apply.ts';
import type {CaptureConfig, Member} from './capture/config.ts';
import {DEFAULT_MARKS} from './capture/marks.ts';
import type {TproxyConfig} from './settings.ts';
import type {WorkloadEntry} from '../sources/workload-table.ts';

/** Before the main table's rule (32766) and those of the usual CNIs (from 100 on). */
const RULE_PRIORITY = 90;

export interface NodeCapture {
  /** Follows a change; what fails is said in the journal, and the former members stay held. */
  update(documents: readonly Document[], workloads: readonly WorkloadEntry[]): void;
  /** `current`: the kernel has what the last update() said, or it failed for good. */
  status(): CaptureStatus & {readonly current: boolean};
  counters(): Promise<Map<string, number>>;
  /** Stops watching; the rules stay. */
  close(): Promise<void>;
}

/**
 * Puts the rules in force; resolves when every workload is held. `onAddresses` is told as soon as the kernel says that the
 * node's own addresses change. Throws SallyportError with what is missing.
 */
export async function startNodeCapture(
  config: TproxyConfig,
  documents: readonly Document[],
  workloads: readonly WorkloadEntry[],
  journal: Journal,
  onAddresses: () => void,
): Promise<NodeCapture> {
  const rules: NodeRules = createCapture({
    config: captureConfig(config),
    onNotice: (level, event, message) => journal.notice(level, event, message),
    onAddresses,
  });
  await rules.start(members(config, documents, workloads));
  let updating = 0;
  return {
    update(nowDocuments, nowWorkloads) {
      updating++;
      rules
        .update(members(config, nowDocuments, nowWorkloads))
        .catch((error: Error) =>
          journal.notice(
            'error',
            'capture.failed',
            `${error instanceof SallyportError ? error.describe() : error.message} The former members stay held.`,
          ),
        )
        .finally(() => updating--);
    },
    status: () => ({...rules.status(), current: updating === 0}),
    counters: () => rules.counters(),
    close: () => rules.close(),
  };
}

/** What the rules are a function of, as far as the settings say it; `doctor` computes the same. Throws SallyportError `NoResolver`. */
export function captureConfig(config: TproxyConfig): CaptureConfig {
  const {installation} = config;
  return {
    intercept: config.intercept,
    capturedPort: config.listen.port,
    explicitPort: config.explicit.port,
    closedPorts: installation.ownPorts.filter((port) => port !== config.explicit.port),
    resolvers: config.resolver === null ? systemResolvers() : [config.resolver],
    nodeCidrs: installation.nodeCidrs,
    nat64Prefixes: installation.nat64Prefixes,
    podInterfaces: [],
    marks: DEFAULT_MARKS,
    routeTable: TPROXY_ROUTE_TABLE,
    rulePriority: RULE_PRIORITY,
  };
}

/** The servers of /etc/resolv.conf: what our own resolver asks where none is named. */
function systemResolvers(): Endpoint[] {
  const lines = readFileSync('/etc/resolv.conf', 'utf8').split('\n');
  const servers = lines.flatMap((line) => {
    const [keyword, ip] = line.trim().split(/\s+/);
    return keyword === 'nameserver' && ip !== undefined ? [{ip, port: 53}] : [];
  });
  if (servers.length === 0)
    throw new SallyportError(
      'NoResolver',
      '/etc/resolv.conf names no server',
      'Name the resolver with --resolver ADDR.',
    );
  return servers;
}

/** A workload that only Audit policies select is captured, not locked; every other one of the table is locked (DESIGN §4). */
export function members(config: TproxyConfig, documents: readonly Document[], workloads: readonly WorkloadEntry[]): Member[] {
  const policies: PolicySet = compilePolicies(documents, config.installation);
  return workloads.flatMap(({workload, ips, interface: name}) => {
    const modes = modesSelecting(policies, workload);
    const mode = modes.has('Audit') && !modes.has('Enforce') ? 'captured' : 'locked';
    return ips.map((ip) => ({ip, interface: name, mode, uid: workload.uid}) as const);
  });
}
