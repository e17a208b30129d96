import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import type {Document} from '../documents.ts';
import {checkDocuments} from './check.ts';
import {formatFinding} from './format.ts';
import {coveringPatterns, hostCovers, HostTrie} from './host-trie.ts';
import {loadDocuments} from './load.ts';

const policy = (
  name: string,
  rules: readonly string[],
  {namespace = 'a', selector = '{}', accounts = '[]'} = {},
) => `---
apiVersion: sallyport.dev/v1alpha1
kind: ${namespace === '' ? 'ClusterEgressPolicy' : 'EgressPolicy'}
metadata: {name: ${name}${namespace === '' ? '' : `, namespace: ${namespace}`}}
spec:
  podSelector: ${selector}
  serviceAccounts: ${accounts}
  rules:
${rules.map((rule) => `  - {${rule}}\n`).join('')}`;

const proxy = (name: string, fields: string) => `---
apiVersion: sallyport.dev/v1alpha1
kind: UpstreamProxy
metadata: {name: ${name}}
spec: {endpoints: [{url: "http://${name}.test:3128"}], ${fields}}
`;

function documentsOf(...texts: string[]): Document[] {
  const {documents, findings} = loadDocuments([{file: 'p.yaml', text: texts.join('')}]);
  expect(findings.filter(({severity}) => severity === 'error').map(formatFinding)).toEqual([]);
  return documents;
}

/** `Code rule` of each finding, the rule by name; of a document, its path. */
function found(...texts: string[]): string[] {
  const documents = documentsOf(...texts);
  return checkDocuments(documents).map(({code, path, at}) => {
    const rules = documents.flatMap((document) => (document.kind === 'UpstreamProxy' ? [] : document.rules));
    return `${code} ${rules.find((rule) => rule.at === at)?.name ?? path}`;
  });
}

describe('a rule in the shadow of another', () => {
  const shadowed: [string, string, string][] = [
    ['the same host', 'to: {hosts: [a.test]}', 'to: {hosts: [a.test]}'],
    ['a suffix before a name below it', 'to: {hosts: ["*.a.test"]}', 'to: {hosts: [b.a.test]}'],
    ['a suffix before a longer one', 'to: {hosts: ["*.a.test"]}', 'to: {hosts: ["*.b.a.test"]}'],
    ['any host before a name', 'to: {hosts: ["*"]}', 'to: {hosts: [x.b.example.com]}'],
    ['more hosts before fewer', 'to: {hosts: [a.test, b.test]}', 'to: {hosts: [b.test]}'],
    ['no conditions before some', 'to: {hosts: [a.test]}', 'to: {hosts: [a.test]}, http: {methods: [GET]}'],
    [
      'fewer conditions before more',
      'to: {hosts: [a.test]}, http: {methods: [GET, HEAD]}',
      'to: {hosts: [a.test]}, http: {methods: [GET], paths: ["/a"]}',
    ],
    [
      'a wider path before a narrower',
      'to: {hosts: [a.test]}, http: {paths: ["/a/**"]}',
      'to: {hosts: [a.test]}, http: {paths: ["/a/b/*", "/a/c"]}',
    ],
    [
      'a header before that header and another',
      'to: {hosts: [a.test]}, http: {headers: {x-a: "1"}}',
      'to: {hosts: [a.test]}, http: {headers: {X-A: "1", x-b: "2"}}',
    ],
    ['no condition before a when', 'to: {hosts: [a.test]}', 'to: {hosts: [a.test]}, when: "source.name == \'a\'"'],
    [
      'the same when',
      'to: {hosts: [a.test]}, when: "source.name == \'a\'"',
      'to: {hosts: [a.test]}, when: "source.name == \'a\'"',
    ],
    ['more ports before fewer', 'to: {hosts: [a.test], ports: ["400-500"]}', 'to: {hosts: [a.test]}'],
    ['a wider network before a narrower', 'to: {cidrs: [10.0.0.0/8]}', 'to: {cidrs: [10.1.0.0/16, 10.2.0.1/32]}'],
    ['a wider IPv6 network before a narrower', 'to: {cidrs: ["2001:db8::/32"]}', 'to: {cidrs: ["2001:db8:1::/48"]}'],
    [
      'https before tls, since it has TLS decrypted',
      'to: {hosts: [a.test]}, http: {paths: ["/a"]}',
      'to: {hosts: [a.test], schemes: [tls]}',
    ],
    [
      'tls before https, since it passes TLS through',
      'to: {hosts: [a.test], schemes: [tls]}',
      'to: {hosts: [a.test]}, http: {methods: [GET]}',
    ],
    [
      'a Deny before a narrower Deny',
      'action: Deny, to: {hosts: ["*.a.test"]}',
      'action: Deny, to: {hosts: [b.a.test]}, http: {methods: [PUT]}',
    ],
    [
      'a Deny without networks before one with some',
      'action: Deny, to: {hosts: [a.test]}',
      'action: Deny, to: {hosts: [a.test], cidrs: [10.0.0.0/8]}',
    ],
    ['a Deny before an Allow', 'action: Deny, to: {hosts: ["*.test"]}', 'to: {hosts: [a.test], ports: [8443]}'],
    [
      "a Deny of everything by name before the cluster's own names",
      'action: Deny, to: {hosts: ["*"]}',
      'to: {hosts: [db.a.svc.cluster.local]}',
    ],
  ];
  test.each(shadowed)('%s', (_, first, second) => {
    expect(found(policy('p', [`name: first, ${first}`, `name: second, ${second}`]))).toContain('ShadowedRule second');
  });

  test.each<[string, string, string]>([
    ['another host', 'to: {hosts: [a.test]}', 'to: {hosts: [b.test]}'],
    ['a suffix before the suffix itself', 'to: {hosts: ["*.a.test"]}', 'to: {hosts: [a.test]}'],
    ['a suffix before a name that only ends alike', 'to: {hosts: ["*.a.test"]}', 'to: {hosts: [ba.test]}'],
    ['a name before its suffix', 'to: {hosts: [b.a.test]}', 'to: {hosts: ["*.a.test"]}'],
    ['one of two hosts', 'to: {hosts: [a.test]}', 'to: {hosts: [a.test, b.test]}'],
    [
      "any host before the cluster's own names, which it does not hold",
      'to: {hosts: ["*"]}',
      'to: {hosts: [db.a.svc.cluster.local]}',
    ],
    ["any host before a short name, which may be the cluster's", 'to: {hosts: ["*"]}', 'to: {hosts: [db]}'],
    ['names before addresses', 'to: {hosts: ["*"]}', 'to: {cidrs: [0.0.0.0/0]}'],
    ['addresses before names', 'to: {cidrs: [0.0.0.0/0]}', 'to: {hosts: [a.test]}'],
    [
      'a name before the same with private addresses',
      'to: {hosts: [a.test]}',
      'to: {hosts: [a.test], cidrs: [10.0.0.0/8]}',
    ],
    ['a narrower network before a wider', 'to: {cidrs: [10.1.0.0/16]}', 'to: {cidrs: [10.0.0.0/8]}'],
    ['a network before one of the other family', 'to: {cidrs: [0.0.0.0/0]}', 'to: {cidrs: ["2001:db8::/32"]}'],
    ['another scheme', 'to: {hosts: [a.test]}', 'to: {hosts: [a.test], schemes: [http]}'],
    ['another port', 'to: {hosts: [a.test]}', 'to: {hosts: [a.test], ports: [8443]}'],
    ['some conditions before none', 'to: {hosts: [a.test]}, http: {methods: [GET]}', 'to: {hosts: [a.test]}'],
    [
      'other methods',
      'to: {hosts: [a.test]}, http: {methods: [GET]}',
      'to: {hosts: [a.test]}, http: {methods: [GET, PUT]}',
    ],
    [
      'any path after some',
      'to: {hosts: [a.test]}, http: {paths: ["/a/**"]}',
      'to: {hosts: [a.test]}, http: {methods: [GET]}',
    ],
    [
      'a path that only begins alike',
      'to: {hosts: [a.test]}, http: {paths: ["/a/**"]}',
      'to: {hosts: [a.test]}, http: {paths: ["/ab"]}',
    ],
    [
      'a path with a star in its prefix',
      'to: {hosts: [a.test]}, http: {paths: ["/*/**"]}',
      'to: {hosts: [a.test]}, http: {paths: ["/*/a"]}',
    ],
    [
      'another header value',
      'to: {hosts: [a.test]}, http: {headers: {x-a: "1"}}',
      'to: {hosts: [a.test]}, http: {headers: {x-a: "2"}}',
    ],
    [
      'an absent header',
      'to: {hosts: [a.test]}, http: {headers: {x-a: null}}',
      'to: {hosts: [a.test]}, http: {headers: {x-b: "2"}}',
    ],
    [
      'another when',
      'to: {hosts: [a.test]}, when: "source.name == \'a\'"',
      'to: {hosts: [a.test]}, when: "source.name == \'b\'"',
    ],
    [
      'https with a when before tls',
      'to: {hosts: [a.test]}, when: "source.name == \'a\'"',
      'to: {hosts: [a.test], schemes: [tls]}',
    ],
    [
      'an Allow before a Deny, which is looked at first',
      'to: {hosts: ["*.test"]}',
      'action: Deny, to: {hosts: [a.test]}',
    ],
    [
      'an https Deny before a tls Deny',
      'action: Deny, to: {hosts: [a.test], schemes: [https]}',
      'action: Deny, to: {hosts: [a.test], schemes: [tls]}',
    ],
    [
      'a Deny with http conditions before an Allow',
      'action: Deny, to: {hosts: [a.test]}, http: {methods: [PUT]}',
      'to: {hosts: [a.test]}',
    ],
  ])('not: %s', (_, first, second) => {
    expect(
      found(policy('p', [`name: first, ${first}`, `name: second, ${second}`])).filter((one) =>
        one.startsWith('Shadowed'),
      ),
    ).toEqual([]);
  });

  test('only within one policy', () => {
    const rule = 'name: r, to: {hosts: [a.test]}';
    expect(found(policy('p', [rule]), policy('q', [rule]))).toEqual([]);
  });

  test('a Deny after an Allow is looked at first all the same', () => {
    expect(
      found(policy('p', ['name: allow, to: {hosts: [a.test]}', 'name: deny, action: Deny, to: {hosts: ["*.test"]}'])),
    ).toContain('ShadowedRule allow');
  });

  test('the first rule that shadows is named, with its line', () => {
    const [finding] = checkDocuments(
      documentsOf(
        policy('p', [
          'name: wide, to: {hosts: ["*.test"]}',
          'name: wider, to: {hosts: ["*"]}',
          'name: narrow, to: {hosts: [a.b.test]}',
        ]),
      ),
    );
    expect(formatFinding(finding!)).toBe(
      'p.yaml:11:5: warning ShadowedRule: the rule "narrow" never decides: "wide" at line 9 matches all that it matches, and is looked at first. Put the narrower rule first, or leave it out. (EgressPolicy a/p spec.rules[2])',
    );
  });

  test('100,000 rules, 10,000 of them on one host: as many comparisons as there are rules, not their square', () => {
    const base = documentsOf(policy('p', ['name: r, to: {hosts: [a.test]}']))[0]!;
    if (base.kind === 'UpstreamProxy') throw new Error('a policy');
    const rule = base.rules[0]!;
    const rules = Array.from({length: 100_000}, (_, i) => ({
      ...rule,
      name: `r-${i}`,
      to: {...rule.to, hosts: [i % 10 === 0 ? 'one.test' : `h-${i}.test`]},
      http: {methods: null, paths: [`/p-${i}/**`], headers: {}, query: {}},
    }));
    // The last is in the shadow of one in the middle.
    rules.push({...rules[50_000]!, name: 'last', http: {methods: null, paths: ['/p-50000/x'], headers: {}, query: {}}});
    expect(checkDocuments([{...base, rules}]).map(({message}) => message.slice(0, 15))).toEqual(['the rule "last"']);
  });
});

describe('a tls Allow beside a Deny that needs the request', () => {
  const tls = 'name: tls, to: {hosts: ["*.a.test"], schemes: [tls]}';
  const deny = (rest: string) => `name: deny, action: Deny, ${rest}`;
  test.each<[string, string, string, boolean]>([
    ['the same suffix', tls, 'to: {hosts: ["*.a.test"]}, http: {methods: [PUT]}', true],
    ['a name below', tls, 'to: {hosts: [b.a.test]}, http: {methods: [PUT]}', true],
    ['any host', tls, 'to: {hosts: ["*"]}, http: {methods: [PUT]}', true],
    ['a suffix above', tls, 'to: {hosts: ["*.test"]}, http: {methods: [PUT]}', true],
    ['a when on the request', tls, 'to: {hosts: ["*"]}, when: "request.method == \'PUT\'"', true],
    ['a when on the source', tls, 'to: {hosts: ["*.x.test"]}, when: "source.name == \'a\'"', false],
    ['another host', tls, 'to: {hosts: ["*.b.test"]}, http: {methods: [PUT]}', false],
    ['the suffix itself', tls, 'to: {hosts: [a.test]}, http: {methods: [PUT]}', false],
    ['http only', tls, 'to: {hosts: ["*"], schemes: [http]}, http: {methods: [PUT]}', false],
    ['another port', tls, 'to: {hosts: ["*"], ports: [8443]}, http: {methods: [PUT]}', false],
    [
      'addresses that meet',
      'name: tls, to: {cidrs: [10.0.0.0/8], schemes: [tls]}',
      'to: {cidrs: [10.1.0.0/16]}, http: {methods: [PUT]}',
      true,
    ],
    [
      'addresses that do not',
      'name: tls, to: {cidrs: [10.0.0.0/16], schemes: [tls]}',
      'to: {cidrs: [10.1.0.0/16]}, http: {methods: [PUT]}',
      false,
    ],
    ['every address', tls, 'to: {cidrs: [0.0.0.0/0]}, http: {methods: [PUT]}', true],
  ])('%s', (_, allow, denied, warned) => {
    expect(found(policy('p', [allow, deny(denied)])).includes('TlsBesideHttpDeny tls')).toBe(warned);
    expect(
      found(policy('p', [allow]), policy('q', [deny(denied)], {namespace: ''})).includes('TlsBesideHttpDeny tls'),
    ).toBe(warned);
  });

  const denied = [deny('to: {hosts: ["*"]}, http: {methods: [PUT]}')];
  test.each<[string, string, string, boolean]>([
    ['another namespace', policy('p', [tls]), policy('q', denied, {namespace: 'b'}), false],
    [
      'a cluster policy for the tls rule',
      policy('p', [tls], {namespace: ''}),
      policy('q', denied, {namespace: 'b'}),
      true,
    ],
    [
      'labels that cannot both be',
      policy('p', [tls], {selector: '{matchLabels: {app: x}}'}),
      policy('q', denied, {selector: '{matchLabels: {app: y}}'}),
      false,
    ],
    [
      'labels that can',
      policy('p', [tls], {selector: '{matchLabels: {app: x}}'}),
      policy('q', denied, {selector: '{matchLabels: {tier: y}}'}),
      true,
    ],
    ['other accounts', policy('p', [tls], {accounts: '[x]'}), policy('q', denied, {accounts: '[y]'}), false],
    [
      'the same account, written either way',
      policy('p', [tls], {accounts: '[x]'}),
      policy('q', denied, {namespace: '', accounts: '[a/x]'}),
      true,
    ],
  ])('pods of %s', (_, p, q, warned) => {
    expect(found(p, q).includes('TlsBesideHttpDeny tls')).toBe(warned);
  });
});

describe('a wildcard Deny beside a tcp Allow', () => {
  const tcp = 'name: tcp, to: {hosts: [db.a.test], schemes: [tcp], ports: [5432]}';
  test.each<[string, string, boolean]>([
    ['a suffix', 'to: {hosts: ["*.a.test"]}', true],
    ['any host', 'to: {hosts: ["*"]}', true],
    ['an exact name', 'to: {hosts: [a.test]}', false],
    ['addresses', 'to: {cidrs: [10.0.0.0/8]}', false],
    ['other schemes', 'to: {hosts: ["*"], schemes: [https, http, tls]}', false],
    ['other ports', 'to: {hosts: ["*"], ports: [443]}', false],
    ['http conditions', 'to: {hosts: ["*"]}, http: {methods: [PUT]}', false],
  ])('%s', (_, to, warned) => {
    expect(found(policy('p', [tcp, `name: deny, action: Deny, ${to}`])).includes('WildcardDenyBesideTcp deny')).toBe(
      warned,
    );
  });

  test('without a tcp rule for the same pods there is nothing to say', () => {
    const deny = 'name: deny, action: Deny, to: {hosts: ["*.a.test"]}';
    expect(found(policy('p', [deny]), policy('q', [tcp], {namespace: 'b'}))).toEqual([]);
    expect(found(policy('p', [deny]), policy('q', [tcp], {namespace: ''}))).toEqual(['WildcardDenyBesideTcp deny']);
  });
});

describe('parents', () => {
  const via = (name: string, to = 'hosts: [a.test]') => policy('p', [`name: r, to: {${to}}, via: ${name}`]);
  test.each<[string, string[], string[]]>([
    ['a via that is there', [via('corp'), proxy('corp', '')], []],
    ['a via that is not', [via('crop'), proxy('corp', '')], ['MissingUpstreamProxy r']],
    ['Direct', [via('Direct')], []],
    ['direct, which is a name', [via('direct')], ['MissingUpstreamProxy r']],
    [
      'two that hold one name',
      [proxy('a', 'hosts: [x.test]'), proxy('b', 'hosts: ["*"]')],
      ['TwoParentsMatch spec.hosts'],
    ],
    [
      'two suffixes, one in the other',
      [proxy('a', 'hosts: ["*.b.test"]'), proxy('b', 'hosts: ["*.test"]')],
      ['TwoParentsMatch spec.hosts'],
    ],
    ['two apart', [proxy('a', 'hosts: ["*.b.test"]'), proxy('b', 'hosts: ["*.c.test"]')], []],
    [
      'two kept apart by except',
      [proxy('a', 'hosts: ["*.b.test"]'), proxy('b', 'hosts: ["*"], except: ["*.b.test"]')],
      [],
    ],
    ['two without hosts', [proxy('a', ''), proxy('b', '')], []],
    ['resolve: Proxy with a suffix', [via('corp', 'hosts: ["*.test"]'), proxy('corp', 'resolve: Proxy')], []],
    [
      'resolve: Proxy with any host',
      [via('corp', 'hosts: ["*"]'), proxy('corp', 'resolve: Proxy')],
      ['NeverThroughParent r'],
    ],
    [
      'resolve: Proxy with addresses',
      [via('corp', 'cidrs: [10.0.0.0/8]'), proxy('corp', 'resolve: Proxy')],
      ['NeverThroughParent r'],
    ],
    [
      'resolve: Proxy with names and addresses',
      [via('corp', 'hosts: [a.test], cidrs: [10.0.0.0/8]'), proxy('corp', 'resolve: Proxy')],
      ['NeverThroughParent r'],
    ],
    [
      'resolve: Proxy by default with any host',
      [policy('p', ['name: r, to: {hosts: ["*"]}']), proxy('corp', 'hosts: ["*"], resolve: Proxy')],
      ['NeverThroughParent r'],
    ],
    ['resolve: Both with any host', [via('corp', 'hosts: ["*"]'), proxy('corp', 'hosts: ["*"]')], []],
  ])('%s', (_, texts, findings) => expect(found(...texts)).toEqual(findings));

  test('what a typo of via is told', () => {
    const findings = checkDocuments(
      documentsOf(via('crop'), proxy('corp', ''), via('direct').replace('name: p', 'name: q')),
    );
    expect(findings.map(({fix}) => fix)).toEqual(['Did you mean corp?', 'Did you mean Direct?']);
  });
});

test('one object from two loads is an error', () => {
  const documents = [...documentsOf(proxy('corp', '')), ...documentsOf(proxy('corp', ''))];
  expect(checkDocuments(documents).map(({severity, code, object}) => `${severity} ${code} ${object}`)).toEqual([
    'error DuplicateObject UpstreamProxy corp',
  ]);
});

describe('host patterns', () => {
  const label = fc.constantFrom('a', 'b', 'c');
  const name = fc.array(label, {minLength: 1, maxLength: 4}).map((labels) => labels.join('.'));
  const pattern = fc.oneof(
    name,
    name.map((text) => `*.${text}`),
    fc.constant('*'),
  );
  const matches = (one: string, host: string) =>
    one === '*' || (one.startsWith('*.') ? host.endsWith(one.slice(1)) && host.length > one.length - 1 : one === host);
  /** Every name of at most five labels; long enough that two patterns of four that overlap share one. */
  const hosts: string[] = [];
  for (
    let level = ['a', 'b', 'c'], depth = 0;
    depth < 5;
    depth++, level = level.flatMap((rest) => ['a', 'b', 'c'].map((l) => `${l}.${rest}`))
  )
    hosts.push(...level);

  test('cover one another exactly where every name of the one is a name of the other', () => {
    fc.assert(
      fc.property(pattern, pattern, (outer, inner) => {
        const covered = hosts.filter((host) => matches(inner, host)).every((host) => matches(outer, host));
        expect(hostCovers(outer, inner)).toBe(covered);
        if (hostCovers(outer, inner)) expect(coveringPatterns(inner)).toContain(outer);
      }),
    );
  });

  test('overlap in the trie exactly where they share a name', () => {
    fc.assert(
      fc.property(fc.array(pattern, {maxLength: 8}), pattern, (patterns, asked) => {
        const trie = new HostTrie<string>();
        for (const one of patterns) trie.add(one, one);
        const shared = patterns.filter((one) => hosts.some((host) => matches(one, host) && matches(asked, host)));
        expect([...trie.overlapping(asked)].sort()).toEqual(shared.sort());
      }),
      {numRuns: 200},
    );
  });
});
