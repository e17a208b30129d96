/** The rules of `capture: pod` put into this network namespace, with those of mTLS or without them. Doing it twice is doing it once. */
import {POD_MTLS, TPROXY_ROUTE_TABLE} from '../../../runtime/names.ts';
import {mustRun, type Commands} from '../../capture/commands.ts';
import {isV6} from '../../capture/config.ts';
import {DEFAULT_MARKS} from '../../capture/marks.ts';
import {ensureRouting} from '../../capture/routing.ts';
import {POD_MTLS_REMOVAL, podMtlsTable, type PodMtlsCapture} from './pod-table.ts';

/** Before that of the main table. */
const RULE_PRIORITY = 10;

/** `capture`: what podRuleset() says. One transaction: there is no moment with the one and without the other. Throws SallyportError. */
export async function layRules(commands: Commands, capture: string, mtls: PodMtlsCapture | null): Promise<void> {
  if (mtls === null) {
    await mustRun(commands, ['nft', '-f', '-'], capture + POD_MTLS_REMOVAL);
    return;
  }
  const nodeIps = [...new Set([...mtls.nodeIps, ...(await gateways(commands))])];
  await mustRun(commands, ['nft', '-f', '-'], capture + podMtlsTable({...mtls, nodeIps}));
  await ensureRouting(commands, {
    marks: DEFAULT_MARKS,
    routeTable: TPROXY_ROUTE_TABLE,
    rulePriority: RULE_PRIORITY,
  });
  // Of IPv4's there is a route everywhere: it is of loopback.
  if (mtls.ips.some(isV6))
    await mustRun(commands, ['ip', '-6', 'route', 'replace', 'local', POD_MTLS.here.ip6, 'dev', 'lo']);
}

/** Where a bridge or the node's end of a veth has an address, the kubelet's probes come from there. */
async function gateways(commands: Commands): Promise<string[]> {
  const found: string[] = [];
  for (const family of ['-4', '-6']) {
    const {status, stdout} = await commands.run(['ip', family, '-j', 'route', 'show', 'default']);
    if (status !== 0 || stdout.trim() === '') continue;
    for (const {gateway} of JSON.parse(stdout) as {gateway?: string}[]) if (gateway !== undefined) found.push(gateway);
  }
  // A link's own is no source of connections to a global address, and nft would need its interface.
  return found.filter((ip) => !/^fe[89ab]/i.test(ip));
}
