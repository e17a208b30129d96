/** Mutants of mTLS inside a pod (docs/adr/0027). */
import type {Mutant} from './mutant.ts';

const TABLE = ['tproxy/mtls/capture/pod-table.test.ts'];
const LINES = ['tproxy/mtls/peer-lines.test.ts'];

export const MTLS_POD_MUTANTS: readonly Mutant[] = [
  {
    name: 'what the nat chain did not see reaches a Strict pod’s program',
    guards: 'MTLS: Strict refuses plain',
    file: 'tproxy/mtls/capture/pod-table.ts',
    find: "'meta l4proto tcp counter name mtls_midstream drop',",
    replace: "'meta l4proto tcp counter name mtls_midstream accept',",
    tests: TABLE,
  },
  {
    name: 'every program of the pod speaks to another under any peer’s address',
    guards: 'MTLS: in a pod only the proxy dials in somebody’s stead',
    file: 'tproxy/mtls/capture/pod-table.ts',
    find: '[`meta skuid ${proxyUid} ${ip} daddr',
    replace: '[`${ip} daddr',
    tests: TABLE,
  },
  {
    name: 'a program takes the proxy’s ports while it is gone, and is spoken to in plain',
    guards: 'MTLS: Strict fails closed while the proxy is away',
    file: 'tproxy/mtls/capture/pod-table.ts',
    find: 'counter name mtls_not_the_proxy drop`',
    replace: 'counter name mtls_not_the_proxy accept`',
    tests: TABLE,
  },
  {
    name: 'everybody may speak plain where the kubelet probes',
    guards: 'MTLS: probes come from the node',
    file: 'tproxy/mtls/capture/pod-table.ts',
    find: "`${ip} saddr { ${from.join(', ')} } tcp dport",
    replace: '`tcp dport',
    tests: TABLE,
  },
  {
    name: 'a pod with a Strict and another address is not Strict',
    guards: 'MTLS: of two modes the stricter holds',
    file: 'tproxy/mtls/pod-settings.ts',
    find: '.reduce<MtlsMode>(stricter, ',
    replace: '.reduce<MtlsMode>((_, one) => (one === "Strict" ? "Permissive" : one), ',
    tests: ['tproxy/mtls/pod-settings.test.ts'],
  },
  {
    name: 'a pod that is gone keeps its address',
    guards: 'MTLS: who has an address is as the cluster says now',
    file: 'tproxy/mtls/peer-lines.ts',
    find: 'const rows = whole ? new Map<string, Row>() : this.#rows;',
    replace: 'const rows = this.#rows;',
    tests: LINES,
  },
  {
    name: 'a Service leads the proxy to whatever address its author wrote',
    guards: '4: the dialled address was checked',
    file: 'tproxy/mtls/worker.ts',
    find: 'const pods = endpoints.filter(({ip}) => this.#pods.has(ip));',
    replace: 'const pods = endpoints.filter(({ip}) => this.#pods.has(ip) || ip.startsWith("169"));',
    tests: ['tproxy/mtls/worker.test.ts'],
  },
  {
    name: 'a node wraps for a pod that wraps for itself',
    guards: 'MTLS: wrapped once',
    file: 'tproxy/mtls/node.ts',
    find: "workload.labels?.[LABELS.capture] !== 'pod'",
    replace: "workload.labels?.[LABELS.capture] !== 'nobody'",
    tests: ['tproxy/mtls/node.test.ts'],
  },
  {
    name: 'the proxy in a pod keeps what it was started with',
    guards: '6: nobody in a pod may change its rules',
    file: 'tproxy/become-proxy.ts',
    find: "'--bounding-set=-all,+net_raw'",
    replace: "'--bounding-set=+all'",
    tests: ['tproxy/become-proxy.test.ts'],
  },
];
