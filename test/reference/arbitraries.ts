/** Small worlds for property tests: few names, addresses, ports and paths, so that rules and requests meet. */
import fc from 'fast-check';
import type {
  Document,
  EgressRequest,
  HttpRequest,
  Installation,
  LabelSelector,
  Mutations,
  Names,
  PolicyDocument,
  RuleDocument,
  Scheme,
  Traffic,
  UpstreamProxyDocument,
  Workload,
} from '../../policy/index.ts';

const AT = {file: 'generated.yaml', line: 1, column: 1};
const NO_MUTATIONS: Mutations = {set: {}, add: {}, remove: []};
const SOME_MUTATIONS: Mutations = {set: {'x-egress': 'sallyport'}, add: {}, remove: []};

const NAMES = ['a.test', 'b.a.test', 'c.b.a.test', 'web.shop.svc.cluster.local', 'web', 'web.shop', 'z.test'];
const PATTERNS = [...NAMES, '*', '*', '*.a.test', '*.test', '*.test', '*.svc.cluster.local'];
const ADDRESSES = [
  '203.0.113.1',
  '203.0.113.2',
  '10.1.2.3',
  '10.96.0.5',
  '192.168.5.5',
  '169.254.169.254',
  '169.254.8.8',
  '127.0.0.1',
  '2001:db8::7',
  'fd00::7',
  '::ffff:10.1.2.3',
  '64:ff9b::a9fe:a9fe',
  '2002:a01:203::1',
];
const CIDRS = [
  '203.0.113.0/24',
  '203.0.113.1/32',
  '10.0.0.0/8',
  '0.0.0.0/0',
  '::/0',
  '169.254.0.0/16',
  '169.254.169.254/32',
  '192.168.5.0/24',
];
const PORTS = [443, 80, 8080, 15080];
const PATHS = [
  '/',
  '/a',
  '/a/b',
  '/A/b',
  '/a//b',
  '/a%2Fb',
  '/a/../b',
  '/b;x/c',
  '/a%252Fb',
  '/%61/b',
  '/a%00',
  '/a%zz',
  '/b/%2e%2e/a',
  '*',
  '',
];
const GLOBS = ['/a/**', '/a/*', '/**', '/b', '/a/b', '/b/*', '**'];
const METHODS = ['GET', 'PUT', 'DELETE'];
const CONNECTION_WHENS = [
  'destination.ip == "203.0.113.1"',
  'source.namespace == "shop"',
  'tls.sni == "a.test"',
  'destination.port == 443',
  'source.labels["app"] == "web"',
];
const REQUEST_WHENS = [
  'request.method == "GET"',
  'request.headers["x-e"] == "1"',
  '"x-e" in request.headers',
  'request.path.startsWith("/a")',
  'source.namespace == "shop" && request.path == "/a/b"',
  '"q" in request.query && request.query["q"].exists(v, v == "1")',
  'destination.ip == "203.0.113.2" && request.method == "GET"',
];

const pick = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const some = <T>(values: readonly T[], max: number): fc.Arbitrary<T[]> =>
  fc.uniqueArray(pick(...values), {minLength: 1, maxLength: max});
const maybe = <T>(value: fc.Arbitrary<T>, weight = 2): fc.Arbitrary<T | null> =>
  fc.oneof({weight, arbitrary: fc.constant(null)}, {weight: 1, arbitrary: value});

const target = fc.oneof(
  {weight: 4, arbitrary: fc.record({hosts: some(PATTERNS, 2), cidrs: fc.constant<string[]>([])})},
  {weight: 2, arbitrary: fc.record({hosts: fc.constant<string[]>([]), cidrs: some(CIDRS, 2)})},
  {weight: 2, arbitrary: fc.record({hosts: some(PATTERNS, 2), cidrs: some(CIDRS, 2)})},
);

const http = fc.record({
  methods: maybe(some(METHODS, 2), 1),
  paths: maybe(some(GLOBS, 2), 1),
  headers: pick<Record<string, string | null>>({}, {}, {'x-e': '1*'}, {'x-e': null}),
  query: pick<Record<string, string | null>>({}, {}, {q: '1'}, {q: null}),
});

const portRange = pick(...PORTS).map((port) => ({from: port, to: port}));

export const ruleOf = (name: string): fc.Arbitrary<RuleDocument> =>
  fc
    .record({
      action: pick<'Allow' | 'Deny'>('Allow', 'Allow', 'Deny'),
      to: target,
      schemes: fc.oneof(
        fc.constant(null),
        fc.constant<Scheme[]>(['https', 'http']),
        some<Scheme>(['https', 'http', 'tls', 'tcp'], 3),
      ),
      ports: maybe(fc.oneof(fc.array(portRange, {minLength: 1, maxLength: 2}), fc.constant([{from: 1, to: 65535}])), 1),
      http: maybe(http),
      when: maybe(fc.tuple(fc.boolean(), pick(...CONNECTION_WHENS), pick(...REQUEST_WHENS)), 5),
      mutated: fc.boolean(),
      via: maybe(pick('Direct', 'corp', 'far', 'gone'), 3),
    })
    .map(({action, to, schemes, ports, http: asked, when, mutated, via}) => {
      // What loading refuses is not generated: http conditions on tls and tcp, an Allow tcp with wildcards or without ports.
      const unseen = schemes?.some((scheme) => scheme === 'tls' || scheme === 'tcp') === true;
      const isTcp = schemes?.includes('tcp') === true && action === 'Allow';
      const hosts = isTcp ? to.hosts.filter((pattern) => !pattern.includes('*')) : to.hosts;
      const empty =
        asked !== null &&
        asked.methods === null &&
        asked.paths === null &&
        Object.keys({...asked.headers, ...asked.query}).length === 0;
      return {
        name,
        action,
        to: {
          hosts,
          cidrs: hosts.length === 0 && to.cidrs.length === 0 ? ['203.0.113.0/24'] : to.cidrs,
          schemes,
          ports: isTcp ? (ports ?? [{from: 443, to: 443}]) : ports,
        },
        http: unseen || empty ? null : asked,
        when: when === null ? null : when[0] || unseen ? when[1] : when[2],
        request: mutated && !unseen && action === 'Allow' ? SOME_MUTATIONS : NO_MUTATIONS,
        response: NO_MUTATIONS,
        via: action === 'Allow' ? via : null,
        at: AT,
      };
    });

const selector = (key: string, value: string): LabelSelector => ({matchLabels: {[key]: value}, matchExpressions: []});
const EVERYTHING: LabelSelector = {matchLabels: {}, matchExpressions: []};

export const policyOf = (name: string): fc.Arbitrary<PolicyDocument> =>
  fc
    .record({
      cluster: fc.boolean(),
      elsewhere: fc.integer({min: 0, max: 15}).map((n) => n === 0),
      narrow: pick(0, 0, 0, 0, 0, 1, 2, 3),
      mode: pick<'Enforce' | 'Audit'>('Enforce', 'Enforce', 'Audit'),
      rules: fc.integer({min: 1, max: 4}).chain((n) => fc.tuple(...Array.from({length: n}, (_, i) => ruleOf(`r${i}`)))),
      own: maybe(pick(418, 451)),
      accounts: pick<string[]>([], [], [], [], [], [], ['default'], ['shop/default'], ['robot']),
    })
    .map(({cluster, elsewhere, narrow, mode, rules, own, accounts}) => ({
      kind: cluster ? 'ClusterEgressPolicy' : 'EgressPolicy',
      name,
      namespace: cluster ? null : elsewhere ? 'other' : 'shop',
      namespaceSelector: cluster && narrow === 3 ? selector('team', 'a') : EVERYTHING,
      podSelector:
        narrow === 1
          ? selector('app', 'web')
          : narrow === 2
            ? {matchLabels: {}, matchExpressions: [{key: 'app', operator: 'NotIn', values: ['db']}]}
            : EVERYTHING,
      serviceAccounts: accounts,
      mode,
      rules,
      deny: own === null ? null : {status: own, headers: ['content-type', 'text/plain'], body: 'no'},
      at: AT,
    }));

/** Enough rules that every bucket of the index is divided; few schemes, so that many of them apply. */
export const largePolicy: fc.Arbitrary<PolicyDocument> = fc
  .integer({min: 20, max: 60})
  .chain((n) => fc.tuple(policyOf('large'), fc.tuple(...Array.from({length: n}, (_, i) => ruleOf(`r${i}`)))))
  .map(([policy, rules]) => ({
    ...policy,
    kind: 'EgressPolicy',
    namespace: 'shop',
    podSelector: EVERYTHING,
    serviceAccounts: [],
    mode: 'Enforce',
    rules,
  }));

const proxyOf = (name: string): fc.Arbitrary<UpstreamProxyDocument> =>
  fc
    .record({
      hosts: pick<string[]>([], ['*'], ['*.test'], ['a.test', '*.a.test'], ['*.svc.cluster.local']),
      except: pick<string[]>([], [], ['b.a.test'], ['*.a.test']),
      resolve: pick<'Both' | 'Local' | 'Proxy'>('Both', 'Local', 'Proxy'),
    })
    .map((rest) => ({
      kind: 'UpstreamProxy',
      name,
      endpoints: [{tls: false, host: 'proxy.corp', port: 3128}],
      auth: null,
      caBundle: null,
      at: AT,
      ...rest,
    }));

export const documents: fc.Arbitrary<Document[]> = fc
  .tuple(
    pick(0, 1, 1, 2, 2, 3).chain((n) => fc.tuple(...Array.from({length: n}, (_, i) => policyOf(`p${i}`)))),
    maybe(proxyOf('corp'), 1),
    maybe(proxyOf('far')),
  )
  .map(([policies, corp, far]) => [...policies, corp, far].filter((one) => one !== null));

export const installation: fc.Arbitrary<Installation> = fc.record({
  defaultAction: pick<'Deny' | 'Allow'>('Deny', 'Allow'),
  clusterDomain: fc.constant('cluster.local'),
  serviceCidrs: fc.constant(['10.96.0.0/12']),
  podCidrs: fc.constant(['10.244.0.0/16']),
  nodeCidrs: fc.constant(['192.168.5.0/24']),
  nat64Prefixes: fc.constant([]),
  searchDomains: pick<string[]>([], ['shop.svc.cluster.local', 'svc.cluster.local']),
  ownPorts: fc.constant([15080]),
});

const workload: fc.Arbitrary<Workload | 'unknown'> = fc.oneof(
  {weight: 1, arbitrary: fc.constant<'unknown'>('unknown')},
  {
    weight: 60,
    arbitrary: fc
      .record({
        labels: pick<Record<string, string> | null>({app: 'web'}, {app: 'web'}, {}, {app: 'db'}, null),
        namespaceLabels: pick<Record<string, string> | null>({team: 'a'}, {team: 'a'}, {team: 'a'}, null),
        trustsCa: pick(true, true, false),
      })
      .map((rest) => ({
        namespace: 'shop',
        name: 'web-1',
        uid: 'u1',
        serviceAccount: 'default',
        node: null,
        ...rest,
      })),
  },
);

/** A literal now and then; spellings that mean the same. */
const authorityText = (name: string): fc.Arbitrary<string> =>
  fc.oneof(
    {weight: 20, arbitrary: fc.constant(name)},
    {weight: 1, arbitrary: pick(name.toUpperCase(), `${name}.`, '203.0.113.1', '[2001:db8::7]', 'bad host', '0x7f.1')},
  );

const headers: fc.Arbitrary<string[]> = fc
  .array(
    pick<[string, string]>(
      ['X-E', '1'],
      ['x-e', '2'],
      ['x-e', '1, 2'],
      ['x-http-method-override', 'delete'],
      ['X-Original-URL', '/a/b?q=1'],
      ['x-rewrite-url', 'http://h/b'],
      ['accept', '*/*'],
    ),
    {maxLength: 3},
  )
  .map((lines) => lines.flat());

/** One exchange: what the connection shows, layer after layer. */
export interface Exchange {
  readonly base: Omit<EgressRequest, 'traffic'>;
  readonly layers: readonly Traffic[];
}

export const exchange: fc.Arbitrary<Exchange> = fc
  .record({
    name: pick(...NAMES, '203.0.113.1', '10.1.2.3'),
    ip: fc.oneof(pick('203.0.113.1', '203.0.113.2'), pick(...ADDRESSES)),
    port: pick(443, 443, 443, 443, 80, 80, 80, 8080, 15080),
    arrived: pick<'captured' | 'explicit' | 'mesh'>('captured', 'captured', 'captured', 'explicit', 'explicit', 'mesh'),
    kind: pick<'https' | 'http' | 'opaque'>('https', 'https', 'http', 'http', 'opaque'),
    workload,
    method: pick(...'GGGGGGGGGPPPOC').map((one) => ({G: 'GET', P: 'PUT', O: 'OPTIONS', C: 'CONNECT'})[one]!),
    path: fc.oneof({weight: 2, arbitrary: pick('/a/b', '/a', '/b/x')}, {weight: 1, arbitrary: pick(...PATHS)}),
    query: pick<string | null>(null, null, 'q=1', 'q=1&q=2', 'q=1;q=2', 'q=1+', ''),
    headers,
    upgrade: pick<string[]>([], [], [], [], [], [], [], [], [], [], ['websocket'], ['h2c']),
    version: pick<'1.0' | '1.1' | '2'>('1.1', '1.1', '2', '1.0'),
    noSni: fc.integer({min: 0, max: 9}).map((n) => n === 0),
    ech: fc.integer({min: 0, max: 7}).map((n) => n === 0),
    hostPort: pick('', '', '', ':443', ':80'),
    canInspect: pick(true, true, true, false),
    joined: fc.boolean(),
    dialsAnswer: fc.boolean(),
  })
  .chain((drawn) => fc.tuple(fc.constant(drawn), authorityText(drawn.name), authorityText(drawn.name)))
  .map(([drawn, hostText, sniText]) => {
    const {name, ip, port, arrived, kind, method, path, query, upgrade, version, noSni, ech} = drawn;
    const explicit = arrived === 'explicit';
    const tunnel = explicit && kind !== 'http';
    const tls = {sni: noSni ? null : sniText, alpn: [], ech};
    const asked: HttpRequest = {
      version,
      method,
      scheme: version === '2' || (explicit && !tunnel) ? (kind === 'https' ? 'https' : 'http') : null,
      authority: version === '2' || (explicit && !tunnel) ? `${hostText}${drawn.hostPort}` : null,
      host: version === '2' ? null : `${hostText}${drawn.hostPort}`,
      path,
      query,
      upgrade,
      headers: drawn.headers,
      ...(arrived === 'mesh' && drawn.joined ? {linesJoined: true as const} : {}),
    };
    const last: Traffic[] =
      kind === 'opaque'
        ? [{kind: 'opaque'}]
        : kind === 'http'
          ? [{kind: 'http', http: asked}]
          : [
              {kind: 'tls', tls},
              {kind: 'https', tls, http: asked},
            ];
    return {
      base: {
        id: '0123456789abcdef',
        arrived,
        workload: drawn.workload,
        source: {ip: '10.244.1.5', port: 40000},
        destination: {ip: explicit ? null : ip, port, host: explicit ? name : null},
        connectAuthority: tunnel ? {host: name, port} : null,
        canInspect: drawn.canInspect,
        ...(arrived === 'mesh' && drawn.dialsAnswer ? {dialsAnswer: true as const} : {}),
      },
      layers: [...(explicit && !tunnel ? [] : [{kind: 'unread'} as const]), ...last],
    };
  });

/** What every name of the worlds resolves to. */
export const zone: fc.Arbitrary<Names> = fc
  .tuple(
    ...[...NAMES, 'web.shop.svc.cluster.local', 'web.svc.cluster.local', 'web.shop.shop.svc.cluster.local'].map(
      (name) =>
        fc.tuple(
          fc.constant(name),
          fc.oneof(
            {weight: 1, arbitrary: fc.constant<'failed'>('failed')},
            {
              weight: 5,
              arbitrary: fc.uniqueArray(fc.oneof(pick('203.0.113.1', '203.0.113.2'), pick(...ADDRESSES)), {
                maxLength: 3,
              }),
            },
          ),
        ),
    ),
  )
  .map((entries) => new Map(entries));
