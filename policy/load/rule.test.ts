import {describe, expect, test} from '@jest/globals';
import type {PolicyDocument, RuleDocument} from '../documents.ts';
import {formatFinding} from './format.ts';
import {loadDocuments} from './load.ts';

/** One rule per line of text, in a policy whose rules begin at line 7. */
const policyOf = (...rules: string[]) => `apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: gate, namespace: default}
spec:
  podSelector: {}
  rules:
${rules.map((rule) => `  - {${rule}}`).join('\n')}
`;

const load = (...rules: string[]) => loadDocuments([{file: 'p.yaml', text: policyOf(...rules)}]);

/** `code path line:column` of each finding. */
const found = (...rules: string[]): string[] =>
  load(...rules).findings.map(
    ({code, path, at}) => `${code} ${path.replace('spec.rules[0].', '')} ${at.line}:${at.column}`,
  );

function ruleOf(text: string): RuleDocument {
  const {documents, findings} = load(text);
  expect(findings.filter(({severity}) => severity === 'error').map(formatFinding)).toEqual([]);
  return (documents[0] as PolicyDocument).rules[0]!;
}

describe('a rule that is refused', () => {
  const to = 'to: {hosts: [a.test]}';
  test.each<[string, string, string]>([
    // Shape.
    ['an unknown field', `name: r, ${to}, protocols: [https]`, 'UnknownField protocols 7:38'],
    ['no name', to, 'MissingField spec.rules[0] 7:5'],
    ['no to', 'name: r', 'MissingField spec.rules[0] 7:5'],
    ['an action in the wrong case', `name: r, action: allow, ${to}`, 'BadValue action 7:23'],
    ['an action that is a list', `name: r, action: [Allow], ${to}`, 'WrongType action 7:23'],
    ['a number where a text belongs', `name: 1, ${to}`, 'WrongType name 7:12'],
    ['a text where a list belongs', 'name: r, to: {hosts: a.test}', 'WrongType to.hosts 7:27'],
    ['nothing where a list belongs', 'name: r, to: {hosts: }', 'WrongType to.hosts 7:20'],
    ['an empty name', `name: "", ${to}`, 'BadValue name 7:12'],
    ['a name with a slash', `name: a/b, ${to}`, 'BadName name 7:12'],
    ['a name with a control character', `name: "a\\nb", ${to}`, 'BadName name 7:12'],
    ['an empty list of methods', `name: r, ${to}, http: {methods: []}`, 'EmptyList http.methods 7:54'],
    ['an empty list of schemes', 'name: r, to: {hosts: [a.test], schemes: []}', 'EmptyList to.schemes 7:46'],
    ['an empty list of ports', 'name: r, to: {hosts: [a.test], ports: []}', 'EmptyList to.ports 7:44'],
    ['a header value that is a number', `name: r, ${to}, http: {headers: {x-a: 1}}`, 'WrongType http.headers.x-a 7:60'],
    // Destination.
    ['to without a destination', 'name: r, to: {}', 'EmptyDestination to 7:19'],
    ['to with schemes alone', 'name: r, to: {schemes: [https]}', 'EmptyDestination to 7:19'],
    ['to with empty lists', 'name: r, to: {hosts: [], cidrs: []}', 'EmptyDestination to 7:19'],
    ['a Deny of everything by omission', 'name: r, action: Deny, to: {ports: [25]}', 'EmptyDestination to 7:33'],
    ['an IPv4 literal', 'name: r, to: {hosts: [a.test, 5.6.7.8]}', 'BadHost to.hosts[1] 7:36'],
    ['an IPv6 literal', 'name: r, to: {hosts: ["2001:db8::1"]}', 'BadHost to.hosts[0] 7:28'],
    ['an IPv4 literal in disguise', 'name: r, to: {hosts: ["0x7f.1"]}', 'BadHost to.hosts[0] 7:28'],
    ['a U-label', 'name: r, to: {hosts: [bücher.test]}', 'BadHost to.hosts[0] 7:28'],
    ['a star within a name', 'name: r, to: {hosts: ["a.*.test"]}', 'BadHost to.hosts[0] 7:28'],
    ['a star within a label', 'name: r, to: {hosts: ["a*.test"]}', 'BadHost to.hosts[0] 7:28'],
    ['two stars', 'name: r, to: {hosts: ["**.test"]}', 'BadHost to.hosts[0] 7:28'],
    ['a URL', 'name: r, to: {hosts: ["https://a.test/"]}', 'BadHost to.hosts[0] 7:28'],
    ['a host with a port', 'name: r, to: {hosts: ["a.test:443"]}', 'BadHost to.hosts[0] 7:28'],
    ['an empty host', 'name: r, to: {hosts: [""]}', 'BadHost to.hosts[0] 7:28'],
    ['a name among the cidrs', 'name: r, to: {cidrs: [a.test]}', 'BadCidr to.cidrs[0] 7:28'],
    ['a prefix that is too long', 'name: r, to: {cidrs: [10.0.0.0/33]}', 'BadCidr to.cidrs[0] 7:28'],
    ['bits right of the prefix', 'name: r, to: {cidrs: [10.1.2.3/8]}', 'BadCidr to.cidrs[0] 7:28'],
    ['a port of 0', 'name: r, to: {hosts: [a.test], ports: [0]}', 'BadPort to.ports[0] 7:45'],
    ['a port of 65536', 'name: r, to: {hosts: [a.test], ports: [65536]}', 'BadPort to.ports[0] 7:45'],
    ['a port with a fraction', 'name: r, to: {hosts: [a.test], ports: [44.3]}', 'BadPort to.ports[0] 7:45'],
    ['a named port', 'name: r, to: {hosts: [a.test], ports: [https]}', 'BadPort to.ports[0] 7:45'],
    ['a range that ends early', 'name: r, to: {hosts: [a.test], ports: ["9000-8000"]}', 'BadPort to.ports[0] 7:45'],
    ['a range of ranges', 'name: r, to: {hosts: [a.test], ports: ["1-2-3"]}', 'BadPort to.ports[0] 7:45'],
    ['a scheme that is none', 'name: r, to: {hosts: [a.test], schemes: [udp]}', 'BadValue to.schemes[0] 7:47'],
    ['a scheme twice', 'name: r, to: {hosts: [a.test], schemes: [http, http]}', 'DuplicateEntry to.schemes[1] 7:53'],
    ['tcp without ports', 'name: r, to: {hosts: [a.test], schemes: [tcp]}', 'TcpWithoutPorts to 7:19'],
    [
      'tcp beside https without ports',
      'name: r, to: {cidrs: [5.6.7.8/32], schemes: [https, tcp]}',
      'TcpWithoutPorts to 7:19',
    ],
    [
      'tcp with a suffix',
      'name: r, to: {hosts: ["*.test"], schemes: [tcp], ports: [22]}',
      'TcpWildcard to.hosts[0] 7:28',
    ],
    [
      'tcp with any host',
      'name: r, to: {hosts: [a.test, "*"], schemes: [tcp], ports: [22]}',
      'TcpWildcard to.hosts[1] 7:36',
    ],
    // Conditions.
    ['a question mark in a path', `name: r, ${to}, http: {paths: ["/**", "/v?/x"]}`, 'BadGlob http.paths[1] 7:60'],
    ['brackets in a path', `name: r, ${to}, http: {paths: ["/[ab]"]}`, 'BadGlob http.paths[0] 7:53'],
    ['braces in a path', `name: r, ${to}, http: {paths: ["/{a}"]}`, 'BadGlob http.paths[0] 7:53'],
    ['three stars in a path', `name: r, ${to}, http: {paths: ["/***"]}`, 'BadGlob http.paths[0] 7:53'],
    ['a path without a slash', `name: r, ${to}, http: {paths: [a]}`, 'BadGlob http.paths[0] 7:53'],
    ['a question mark in a header', `name: r, ${to}, http: {headers: {x-a: "a?"}}`, 'BadGlob http.headers.x-a 7:60'],
    ['three stars in a parameter', `name: r, ${to}, http: {query: {a: "***"}}`, 'BadGlob http.query.a 7:56'],
    [
      'a header twice by letter case',
      `name: r, ${to}, http: {headers: {x-a: a, X-A: b}}`,
      'DuplicateKey http.headers.X-A 7:63',
    ],
    [
      'a header name with a space',
      `name: r, ${to}, http: {headers: {"x a": a}}`,
      'BadHeaderName http.headers["x a"] 7:55',
    ],
    ['a pseudo header', `name: r, ${to}, http: {headers: {":path": a}}`, 'ForbiddenHeader http.headers[":path"] 7:55'],
    ['a method in lower case', `name: r, ${to}, http: {methods: [get]}`, 'BadMethod http.methods[0] 7:55'],
    ['a method with a space', `name: r, ${to}, http: {methods: ["GET "]}`, 'BadMethod http.methods[0] 7:55'],
    ['a star as method', `name: r, ${to}, http: {methods: ["*"]}`, 'BadMethod http.methods[0] 7:55'],
    ['a condition of the wrong type', `name: r, ${to}, when: request.method`, 'BadCondition when 7:44'],
    ['a condition that does not parse', `name: r, ${to}, when: "request.method =="`, 'BadCondition when 7:44'],
    ['a condition on nothing known', `name: r, ${to}, when: "user == 1"`, 'BadCondition when 7:44'],
    [
      'a condition on the request of tls',
      'name: r, to: {hosts: [a.test], schemes: [tls]}, when: "request.method == \'GET\'"',
      'BadCondition when 7:60',
    ],
    [
      'http conditions of tls',
      'name: r, to: {hosts: [a.test], schemes: [tls]}, http: {methods: [GET]}',
      'NeedsInspection http 7:54',
    ],
    [
      'http conditions of tls beside https',
      'name: r, to: {hosts: [a.test], schemes: [https, tls]}, http: {methods: [GET]}',
      'NeedsInspection http 7:61',
    ],
    [
      'http conditions of tcp',
      'name: r, to: {cidrs: [5.6.7.8/32], schemes: [tcp], ports: [22]}, http: {paths: ["/**"]}',
      'NeedsInspection http 7:71',
    ],
    [
      'http conditions of a tcp Deny',
      'name: r, action: Deny, to: {cidrs: [5.6.7.8/32], schemes: [tcp]}, http: {paths: ["/**"]}',
      'NeedsInspection http 7:72',
    ],
    [
      'mutations of tls',
      'name: r, to: {hosts: [a.test], schemes: [tls]}, request: {set: {x-a: a}}',
      'NeedsInspection request 7:54',
    ],
    [
      'mutations of tls responses',
      'name: r, to: {hosts: [a.test], schemes: [tls]}, response: {remove: [x-a]}',
      'NeedsInspection response 7:54',
    ],
    // Mutations, via.
    ['a Host of its own', `name: r, ${to}, request: {set: {host: b.test}}`, 'ForbiddenHeader request.set.host 7:54'],
    ['Host in capitals', `name: r, ${to}, request: {set: {HOST: b.test}}`, 'ForbiddenHeader request.set.HOST 7:54'],
    ['Host added', `name: r, ${to}, request: {add: {Host: b.test}}`, 'ForbiddenHeader request.add.Host 7:54'],
    ['Host removed', `name: r, ${to}, request: {remove: [Host]}`, 'ForbiddenHeader request.remove[0] 7:57'],
    [
      'a pseudo header set',
      `name: r, ${to}, request: {set: {":authority": b.test}}`,
      'ForbiddenHeader request.set[":authority"] 7:54',
    ],
    ['an empty header name', `name: r, ${to}, request: {set: {"": a}}`, 'BadHeaderName request.set[""] 7:54'],
    [
      'a line break in a value',
      `name: r, ${to}, request: {set: {x-a: "a\\r\\nhost: b"}}`,
      'BadHeaderValue request.set.x-a 7:59',
    ],
    ['NUL in a value', `name: r, ${to}, request: {add: {x-a: "a\\0"}}`, 'BadHeaderValue request.add.x-a 7:59'],
    ['DEL in a value', `name: r, ${to}, response: {set: {x-a: "a\\x7f"}}`, 'BadHeaderValue response.set.x-a 7:60'],
    ['a value outside of ASCII', `name: r, ${to}, request: {set: {x-a: é}}`, 'BadHeaderValue request.set.x-a 7:59'],
    [
      'white space around a value',
      `name: r, ${to}, request: {set: {x-a: " a"}}`,
      'BadHeaderValue request.set.x-a 7:59',
    ],
    [
      'set and removed',
      `name: r, ${to}, request: {set: {x-a: a}, remove: [x-a]}`,
      'ConflictingMutations request.remove[0] 7:72',
    ],
    [
      'set and removed in another case',
      `name: r, ${to}, request: {set: {X-A: a}, remove: [x-a]}`,
      'ConflictingMutations request.remove[0] 7:72',
    ],
    [
      'set and added',
      `name: r, ${to}, request: {set: {x-a: a}, add: {x-a: b}}`,
      'ConflictingMutations request.add.x-a 7:69',
    ],
    [
      'set twice by letter case',
      `name: r, ${to}, request: {set: {x-a: a, X-A: b}}`,
      'ConflictingMutations request.set.X-A 7:62',
    ],
    ['mutations of a Deny', `name: r, action: Deny, ${to}, request: {set: {x-a: a}}`, 'DenyHasNoEffect request 7:52'],
    ['via of a Deny', `name: r, action: Deny, ${to}, via: corp`, 'DenyHasNoEffect via 7:52'],
    ['via in the wrong case', `name: r, ${to}, via: direct!`, 'BadName via 7:43'],
  ])('%s', (_, rule, finding) => {
    expect(found(rule)).toContain(finding);
    expect(load(rule).documents).toEqual([]);
  });

  test.each([
    'content-length',
    'transfer-encoding',
    'te',
    'trailer',
    'upgrade',
    'connection',
    'keep-alive',
    'expect',
    'proxy-authorization',
    'proxy-connection',
    'Proxy-Anything',
    'http2-settings',
  ])('a change of %s', (name) => {
    for (const part of ['request', 'response'])
      for (const change of [`set: {${name}: a}`, `add: {${name}: a}`, `remove: [${name}]`])
        expect(load(`name: r, ${to}, ${part}: {${change}}`).findings.map(({code}) => code)).toEqual([
          'ForbiddenHeader',
        ]);
  });

  test('two rules of one name: the second, with the line of the first', () => {
    const {findings, documents} = load('name: r, to: {hosts: [a.test]}', 'name: r, to: {hosts: [b.test]}');
    expect(findings.map(formatFinding)).toEqual([
      'p.yaml:8:12: error DuplicateRule: the rule name "r" is used before, at line 7. Give each rule of a policy a name of its own: denials and logs name it. (EgressPolicy default/gate spec.rules[1].name)',
    ]);
    expect(documents).toEqual([]);
  });

  test('every bad rule is reported, not only the first', () => {
    expect(found('name: a, to: {}', 'name: b, to: {hosts: [1.2.3.4]}', 'name: c, too: {}')).toEqual([
      'EmptyDestination to 7:19',
      'BadHost spec.rules[1].to.hosts[0] 8:28',
      'UnknownField spec.rules[2].too 9:15',
      'MissingField spec.rules[2] 9:5',
    ]);
  });

  test.each([
    ['protocols: [https]', 'There are name, action, to'],
    ['htpp: {}', 'Did you mean http?'],
    ['When: "true"', 'Did you mean when?'],
  ])('%s: %s', (field, fix) => {
    expect(load(`name: r, ${to}, ${field}`).findings[0]!.fix).toContain(fix);
  });
});

describe('a rule that is only warned about', () => {
  test.each<[string, string, string[]]>([
    [
      'tcp by name on 443',
      'name: r, to: {hosts: [a.test], schemes: [tcp], ports: [443]}',
      ['TcpSharedAddress to.hosts 7:20'],
    ],
    [
      'tcp by name on a range with 80',
      'name: r, to: {hosts: [a.test], schemes: [tcp], ports: ["70-90"]}',
      ['TcpSharedAddress to.hosts 7:20'],
    ],
    ['tcp by name elsewhere', 'name: r, to: {hosts: [a.test], schemes: [tcp], ports: [5432]}', []],
    ['tcp by address on 443', 'name: r, to: {cidrs: [5.6.7.8/32], schemes: [tcp], ports: [443]}', []],
    [
      'an unguarded Deny',
      `name: r, action: Deny, to: {hosts: [a.test]}, when: 'request.headers["x-a"] == "b"'`,
      ['UnguardedCondition when 7:58'],
    ],
    [
      'a guarded Deny',
      `name: r, action: Deny, to: {hosts: [a.test]}, when: '"x-a" in request.headers && request.headers["x-a"] == "b"'`,
      [],
    ],
    [
      'an Allow on a header, which allows nothing where it is missing',
      `name: r, to: {hosts: [a.test]}, when: 'request.headers["x-a"] == "b"'`,
      [],
    ],
  ])('%s', (_, rule, findings) => {
    expect(found(rule)).toEqual(findings);
    expect(load(rule).documents).toHaveLength(1);
  });
});

describe('a rule as it is read', () => {
  test('with nothing but a host', () => {
    expect(ruleOf('name: r, to: {hosts: [A.Test., "*.B.test"]}')).toEqual({
      name: 'r',
      action: 'Allow',
      to: {hosts: ['a.test', '*.b.test'], cidrs: [], schemes: null, ports: null},
      http: null,
      when: null,
      request: {set: {}, add: {}, remove: []},
      response: {set: {}, add: {}, remove: []},
      via: null,
      at: {file: 'p.yaml', line: 7, column: 5},
    });
  });

  test('with everything', () => {
    expect(
      ruleOf(
        'name: r, action: Allow, to: {hosts: [a.test, A.test], cidrs: [10.0.0.0/8, "2001:DB8::/32", 192.0.2.1], schemes: [https, http], ports: [443, "8443", "8000-8999"]}, ' +
          'http: {methods: [GET], paths: ["/a/**"], headers: {X-Team: "a*", x-no: null}, query: {Q: "1"}}, when: "true", ' +
          'request: {set: {X-Set: a}, add: {x-add: ""}, remove: [X-Remove]}, response: {remove: [server]}, via: corp',
      ),
    ).toMatchObject({
      to: {
        hosts: ['a.test'],
        cidrs: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.1/32'],
        schemes: ['https', 'http'],
        ports: [
          {from: 443, to: 443},
          {from: 8443, to: 8443},
          {from: 8000, to: 8999},
        ],
      },
      http: {methods: ['GET'], paths: ['/a/**'], headers: {'x-team': 'a*', 'x-no': null}, query: {Q: '1'}},
      when: 'true',
      request: {set: {'x-set': 'a'}, add: {'x-add': ''}, remove: ['x-remove']},
      response: {set: {}, add: {}, remove: ['server']},
      via: 'corp',
    });
  });

  test.each(['http: {}', 'http: {headers: {}, query: {}}'])('%s conditions nothing', (http) => {
    expect(ruleOf(`name: r, to: {hosts: [a.test], schemes: [tls]}, ${http}`).http).toBeNull();
  });
});
