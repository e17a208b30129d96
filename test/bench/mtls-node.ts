/**
 * The wire of a node whose pod no policy holds, as a process: the parts of `sallyport tproxy --mtls` without its supervisor. A table
 * of workloads in a file holds everybody in it, so the command itself is only asked for pods that are held.
 *   node mtls-node.ts IDENTITY-DIR OWN.yaml PEERS.yaml      says `listening` when it does
 */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {PORTS, TPROXY_ROUTE_TABLE} from '../../runtime/names.ts';
import {readWorkloads} from '../../sources/workload-table.ts';
import {createCapture} from '../../tproxy/capture/apply.ts';
import {systemCommands} from '../../tproxy/capture/commands.ts';
import {DEFAULT_MARKS} from '../../tproxy/capture/marks.ts';
import {createMtlsRules} from '../../tproxy/mtls/capture/node-mtls.ts';
import {enrolment} from '../../tproxy/mtls/enrolment.ts';
import {readIdentity} from '../../tproxy/mtls/identity/read-identity.ts';
import {WorkerMtls} from '../../tproxy/mtls/worker.ts';

const [dir, ownFile, peersFile] = process.argv.slice(2) as [string, string, string];
const own = readWorkloads(ownFile);
const entries = [...own, ...readWorkloads(peersFile)];
const commands = systemCommands();
const onNotice = (...said: string[]): void => console.error(said.join(' '));
const config = {
  identity: {kind: 'files', dir},
  trustDomain: 'cluster.local',
  defaultMode: 'Off',
  cidrs: [],
  peersFile,
} as const;
const capture = createCapture({
  config: {
    intercept: 'tproxy',
    capturedPort: PORTS.captured,
    explicitPort: PORTS.explicit,
    closedPorts: [PORTS.admin],
    ...{resolvers: [], nodeCidrs: [], nat64Prefixes: [], podInterfaces: [], meshDestinations: []},
    lockPodAddresses: false,
    marks: DEFAULT_MARKS,
    routeTable: TPROXY_ROUTE_TABLE,
    rulePriority: 10,
  },
  commands,
  onNotice,
});
await capture.start([]);
const rules = createMtlsRules({port: PORTS.mtls, marks: DEFAULT_MARKS, commands, onNotice});
const here = new Map(own.flatMap(({ips, workload: {uid}}) => ips.map((ip) => [ip, uid] as const)));
await rules.update({
  ...{entries, enrolment: enrolment(entries, config), strictCidrs: []},
  here: new Map(own.flatMap(({ips, interface: name}) => ips.map((ip) => [ip, name] as const))),
});
const text = (file: string): string => readFileSync(join(dir, file), 'utf8');
const identity = readIdentity(
  {keyPem: text('tls.key'), chainPem: text('tls.crt'), rootsPem: text('ca.crt')},
  dir,
  Date.now(),
);
const identities = new Map(own.map(({workload: {uid}}) => [uid, identity]));
const worker = new WorkerMtls(
  config,
  {entries, here, identities, services: new Map(), whole: true},
  {
    decision: () => undefined,
    flow: () => undefined,
    notice: (level, event, message) => onNotice(level, event, message),
  },
  () => undefined,
);
await worker.listen((error) => console.error(error));
console.log('listening');
