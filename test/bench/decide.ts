/**
 * decide() over a growing number of rules: 60 % exact hosts, 20 % suffixes, 5 % `*`, 5 % CIDRs, 10 % on one host by path;
 * a fifth of them Deny; 50 policies, all of which select the workload.
 *   node test/bench/decide.ts prints the table as markdown and as JSON.
 */
import {fileURLToPath} from 'node:url';
import {
  compilePolicies,
  decide,
  isDecision,
  type Address,
  type Document,
  type EgressRequest,
  type Installation,
  type PolicySet,
  type RuleDocument,
  type Workload,
} from '../../policy/index.ts';
import {markdown, type Table} from './tables.ts';

const POLICIES = 50;
const RULES = [10, 1_000, 100_000] as const;
/** Requests of each kind; a run of this length takes well under a second. */
const CALLS = 20_000;

const INSTALLATION: Installation = {
  defaultAction: 'Deny',
  clusterDomain: 'cluster.local',
  serviceCidrs: ['10.96.0.0/12'],
  podCidrs: ['10.244.0.0/16'],
  nodeCidrs: ['10.0.0.0/16'],
  nat64Prefixes: [],
  searchDomains: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
  ownPorts: [15080, 15081],
};
const AT = {file: 'bench.yaml', line: 1, column: 1};
const NONE = {set: {}, add: {}, remove: []};

/** The i-th rule of the mix. */
function rule(i: number): RuleDocument {
  const kind = i % 20;
  const deny = Math.floor(i / 20) % 5 === 4;
  const to =
    kind < 12
      ? {hosts: [`h${i}.exact.test`], cidrs: []}
      : kind < 16
        ? {hosts: [`*.s${i}.suffix.test`], cidrs: []}
        : kind < 17
          ? {hosts: ['*'], cidrs: []}
          : kind < 18
            ? {hosts: [], cidrs: [`198.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}/32`]}
            : {hosts: ['api.paths.test'], cidrs: []};
  const paths = kind === 16 ? [`/any-${i}/**`] : kind >= 18 ? [`/v1/team-${i}/*/items`] : null;
  return {
    name: `r${i}`,
    action: deny ? 'Deny' : 'Allow',
    to: {...to, schemes: null, ports: null},
    http: paths === null ? null : {methods: null, paths, headers: {}, query: {}},
    when: null,
    request: NONE,
    response: NONE,
    via: null,
    at: AT,
  };
}

function documents(rules: number): Document[] {
  const selector = {matchLabels: {app: 'shop'}, matchExpressions: []};
  const all = {matchLabels: {}, matchExpressions: []};
  return Array.from({length: POLICIES}, (_, p) => ({
    kind: 'EgressPolicy',
    name: `policy-${String(p).padStart(2, '0')}`,
    namespace: 'shop',
    namespaceSelector: all,
    podSelector: selector,
    serviceAccounts: [],
    mode: 'Enforce',
    rules: Array.from({length: rules}, (_, i) => i)
      .filter((i) => i % POLICIES === p)
      .map(rule),
    deny: null,
    at: AT,
  }));
}

/** The same mix as documents to load: JSON, which is YAML, one rule a line. */
export function ruleTexts(rules: number): string {
  return Array.from({length: POLICIES}, (_, p) => {
    const lines = Array.from({length: rules}, (_, i) => i)
      .filter((i) => i % POLICIES === p)
      .map((i) => {
        const {name, action, to, http} = rule(i);
        const hosts = to.hosts.length === 0 ? {} : {hosts: to.hosts};
        const cidrs = to.cidrs.length === 0 ? {} : {cidrs: to.cidrs};
        const paths = http === null ? {} : {http: {paths: http.paths}};
        return `  - ${JSON.stringify({name, action, to: {...hosts, ...cidrs}, ...paths})}`;
      });
    const name = `policy-${String(p).padStart(2, '0')}`;
    return [
      'apiVersion: sallyport.dev/v1alpha1',
      'kind: EgressPolicy',
      `metadata: {name: ${name}, namespace: shop}`,
      'spec:',
      '  podSelector: {matchLabels: {app: shop}}',
      '  rules:',
      ...lines,
      '',
    ].join('\n');
  }).join('---\n');
}

const WORKLOAD: Workload = {
  namespace: 'shop',
  namespaceLabels: {},
  name: 'web-1',
  uid: 'uid-1',
  labels: {app: 'shop'},
  serviceAccount: 'default',
  node: null,
  trustsCa: true,
};

function request(host: string, path: string, ip: Address): EgressRequest {
  return {
    id: '0123456789abcdef',
    arrived: 'captured',
    workload: WORKLOAD,
    source: {ip: '10.244.1.5', port: 40000},
    destination: {ip, port: 443, host: null},
    connectAuthority: null,
    canInspect: true,
    traffic: {
      kind: 'https',
      tls: {sni: host, alpn: ['http/1.1'], ech: false},
      http: {
        version: '1.1',
        method: 'GET',
        scheme: null,
        authority: null,
        host,
        path,
        query: 'page=2',
        upgrade: [],
        headers: [
          'Host',
          host,
          'User-Agent',
          'bench/1',
          'Accept',
          '*/*',
          'X-Request-Id',
          'abc',
          'Accept-Encoding',
          'gzip',
        ],
      },
    },
  };
}

/** The requests of one run: every kind of rule hit at its first, middle and last, and what nothing matches. */
function requests(rules: number): {name: string; request: EgressRequest}[] {
  const near = (at: number, kind: number, deny: boolean): number | null => {
    for (let d = 0; d < rules; d++)
      for (const i of [at - d, at + d])
        if (i >= 0 && i < rules && i % 20 === kind && (Math.floor(i / 20) % 5 === 4) === deny) return i;
    return null;
  };
  const out: {name: string; request: EgressRequest}[] = [];
  const add = (name: string, kind: number, deny: boolean, make: (i: number) => EgressRequest): void => {
    for (const [where, at] of [
      ['first', 0],
      ['last', rules - 1],
    ] as const) {
      const i = near(at, kind, deny);
      if (i !== null) out.push({name: `${name}, ${where}`, request: make(i)});
    }
  };
  for (const deny of [false, true]) {
    const what = deny ? 'Deny' : 'Allow';
    add(`exact host, ${what}`, 3, deny, (i) => request(`h${i}.exact.test`, '/a/b', '203.0.113.9'));
    add(`suffix, ${what}`, 13, deny, (i) => request(`a.b.s${i}.suffix.test`, '/a/b', '203.0.113.9'));
    add(`star, ${what}`, 16, deny, (i) => request('anything.test', `/any-${i}/x`, '203.0.113.9'));
    add(`cidr, ${what}`, 17, deny, (i) =>
      request('claimed.test', '/', `198.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`),
    );
    add(`path of one host, ${what}`, 18, deny, (i) =>
      request('api.paths.test', `/v1/team-${i}/blue/items`, '203.0.113.9'),
    );
  }
  out.push({name: 'no rule', request: request('www.nowhere.test', '/index.html', '203.0.113.9')});
  out.push({
    name: 'no path of the host',
    request: request('api.paths.test', '/v1/team-none/blue/items', '203.0.113.9'),
  });
  return out;
}

interface Measured {
  readonly meanUs: number;
  readonly worst: {readonly name: string; readonly us: number};
}

function measure(policies: PolicySet, asked: ReturnType<typeof requests>): Measured {
  const names = new Map<string, readonly Address[]>();
  for (const {request: one} of asked)
    if (one.traffic.kind === 'https') names.set(one.traffic.tls.sni!, ['203.0.113.9']);
  const perKind = asked.map(({name, request: one}) => {
    let decided = 0;
    const run = (calls: number): void => {
      for (let i = 0; i < calls; i++) if (isDecision(decide(policies, one, names))) decided++;
    };
    run(2_000);
    const started = process.cpuUsage();
    run(CALLS);
    const {user, system} = process.cpuUsage(started);
    const us = (user + system) / CALLS;
    if (decided !== CALLS + 2_000) throw new Error(`${name}: asked for more than it was given`);
    return {name, us};
  });
  const meanUs = perKind.reduce((sum, {us}) => sum + us, 0) / perKind.length;
  return {meanUs, worst: perKind.reduce((a, b) => (b.us > a.us ? b : a))};
}

export function benchDecide(): Table {
  // The first run would measure the compiler.
  measure(compilePolicies(documents(1_000), INSTALLATION), requests(1_000));
  const rows = RULES.map((rules) => {
    const loaded = documents(rules);
    const asked = requests(rules);
    const before = performance.now();
    const policies = compilePolicies(loaded, INSTALLATION);
    const compiled = performance.now();
    // The first question of a workload merges the rules of the policies that select it.
    decide(policies, asked[0]!.request, new Map());
    const merged = performance.now();
    const {meanUs, worst} = measure(policies, asked);
    return [
      rules.toLocaleString('en'),
      meanUs.toFixed(2),
      worst.us.toFixed(2),
      worst.name,
      (compiled - before).toFixed(0),
      (merged - compiled).toFixed(0),
    ];
  });
  return {
    title: `decide(), ${POLICIES} policies, a fifth Deny (CPU time)`,
    columns: ['rules', 'mean µs', 'worst µs', 'worst request', 'compile ms', 'first question ms'],
    rows,
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const table = benchDecide();
  console.log(markdown(table));
  console.log(JSON.stringify(table, null, 2));
}
