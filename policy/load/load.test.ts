import {readdirSync, readFileSync} from 'node:fs';
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {parse, stringify} from 'yaml';
import type {PolicyDocument, UpstreamProxyDocument} from '../documents.ts';
import {readDocument} from './document.ts';
import {formatFinding} from './format.ts';
import {loadDocuments} from './load.ts';
import {documentName} from './name.ts';

const load = (text: string, file = 'p.yaml') => loadDocuments([{file, text}]);
const found = (text: string): string[] =>
  load(text).findings.map(({code, path, at}) => `${code} ${path} ${at.line}:${at.column}`);

const HEAD = 'apiVersion: sallyport.dev/v1alpha1\n';
const policy = (metadata: string, spec: string, kind = 'EgressPolicy') =>
  `${HEAD}kind: ${kind}\nmetadata: ${metadata}\nspec: ${spec}\n`;
const GOOD = policy('{name: a, namespace: b}', '{podSelector: {}, rules: [{name: r, to: {hosts: [a.test]}}]}');
const spec = (fields: string) => policy('{name: a, namespace: b}', `{podSelector: {}, ${fields}}`);
const proxy = (fields: string) => policy('{name: corp}', `{${fields}}`, 'UpstreamProxy');

describe('a document that is refused', () => {
  test.each<[string, string, string]>([
    ['a text', 'hello', 'WrongType  1:1'],
    ['a list', '- a', 'WrongType  1:1'],
    ['no apiVersion', 'kind: EgressPolicy\n', 'MissingField  1:1'],
    ['no kind', HEAD, 'MissingField  1:1'],
    ['another version', 'apiVersion: sallyport.dev/v1\nkind: EgressPolicy\n', 'WrongApiVersion apiVersion 1:13'],
    ['another kind', `${HEAD}kind: EgresPolicy\n`, 'WrongKind kind 2:7'],
    ['no metadata', `${HEAD}kind: UpstreamProxy\nspec: {endpoints: [{url: "http://a:1"}]}\n`, 'MissingField  1:1'],
    ['no spec', `${HEAD}kind: EgressPolicy\nmetadata: {name: a, namespace: b}\n`, 'MissingField  1:1'],
    ['spec with nothing in it', policy('{name: a, namespace: b}', ''), 'WrongType spec 4:1'],
    ['an unknown field beside spec', `${GOOD}rules: []\n`, 'UnknownField rules 5:1'],
    [
      'an unknown field of metadata',
      policy('{name: a, namspace: b}', '{podSelector: {}}'),
      'UnknownField metadata.namspace 3:21',
    ],
    ['no namespace', policy('{name: a}', '{podSelector: {}}'), 'MissingField metadata 3:11'],
    [
      'a namespace of a cluster policy',
      policy('{name: a, namespace: b}', '{podSelector: {}}', 'ClusterEgressPolicy'),
      'ClusterScoped metadata.namespace 3:21',
    ],
    [
      'a namespace of a parent',
      policy('{name: a, namespace: b}', '{endpoints: [{url: "http://a:1"}]}', 'UpstreamProxy'),
      'ClusterScoped metadata.namespace 3:21',
    ],
    ['a name in capitals', policy('{name: Web, namespace: b}', '{podSelector: {}}'), 'BadName metadata.name 3:18'],
    [
      'a name with a line break',
      policy('{name: "a\\nb", namespace: b}', '{podSelector: {}}'),
      'BadName metadata.name 3:18',
    ],
    [
      'a namespace with a dot',
      policy('{name: a, namespace: b.c}', '{podSelector: {}}'),
      'BadName metadata.namespace 3:32',
    ],
    ['no podSelector', policy('{name: a, namespace: b}', '{rules: []}'), 'MissingField spec 4:7'],
    [
      'podSelector with nothing in it',
      policy('{name: a, namespace: b}', '\n  podSelector:\n  rules: []'),
      'WrongType spec.podSelector 5:3',
    ],
    [
      'labels instead of matchLabels',
      policy('{name: a, namespace: b}', '{podSelector: {app: web}}'),
      'UnknownField spec.podSelector.app 4:22',
    ],
    [
      'a label value that is a number',
      policy('{name: a, namespace: b}', '{podSelector: {matchLabels: {v: 1}}}'),
      'WrongType spec.podSelector.matchLabels.v 4:39',
    ],
    [
      'a label key with a space',
      policy('{name: a, namespace: b}', '{podSelector: {matchLabels: {"a b": c}}}'),
      'BadLabel spec.podSelector.matchLabels["a b"] 4:36',
    ],
    [
      'a label value with a space',
      policy('{name: a, namespace: b}', '{podSelector: {matchLabels: {a: b c}}}'),
      'BadLabel spec.podSelector.matchLabels.a 4:39',
    ],
    [
      'In without values',
      policy('{name: a, namespace: b}', '{podSelector: {matchExpressions: [{key: a, operator: In}]}}'),
      'BadSelector spec.podSelector.matchExpressions[0] 4:41',
    ],
    [
      'Exists with values',
      policy('{name: a, namespace: b}', '{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}'),
      'BadSelector spec.podSelector.matchExpressions[0] 4:41',
    ],
    [
      'an operator that is none',
      policy('{name: a, namespace: b}', '{podSelector: {matchExpressions: [{key: a, operator: in}]}}'),
      'BadValue spec.podSelector.matchExpressions[0].operator 4:60',
    ],
    [
      'namespaceSelector of a namespaced policy',
      spec('namespaceSelector: {}'),
      'UnknownField spec.namespaceSelector 4:25',
    ],
    ['a mode that is none', spec('mode: audit'), 'BadValue spec.mode 4:31'],
    ['rules as a mapping', spec('rules: {a: {}}'), 'WrongType spec.rules 4:32'],
    ['a rule that is a text', spec('rules: [a]'), 'WrongType spec.rules[0] 4:33'],
    ['an account with a namespace', spec('serviceAccounts: [a/b]'), 'BadServiceAccount spec.serviceAccounts[0] 4:43'],
    [
      'an account without one in a cluster policy',
      policy('{name: a}', '{podSelector: {}, serviceAccounts: [b]}', 'ClusterEgressPolicy'),
      'BadServiceAccount spec.serviceAccounts[0] 4:43',
    ],
    ['a status of 200', spec('deny: {status: 200}'), 'BadNumber spec.deny.status 4:40'],
    ['a status of 600', spec('deny: {status: 600}'), 'BadNumber spec.deny.status 4:40'],
    ['a status of 304', spec('deny: {status: 304}'), 'BadStatus spec.deny.status 4:40'],
    ['a status in quotes', spec('deny: {status: "418"}'), 'WrongType spec.deny.status 4:40'],
    [
      'a content type without a body',
      spec('deny: {contentType: text/html}'),
      'MissingField spec.deny.contentType 4:32',
    ],
    [
      'a content type that is none',
      spec('deny: {contentType: "a\\nb", body: a}'),
      'BadHeaderValue spec.deny.contentType 4:45',
    ],
    [
      'content-type among the headers',
      spec('deny: {headers: {Content-Type: a/b}}'),
      'ForbiddenHeader spec.deny.headers.Content-Type 4:42',
    ],
    [
      'framing among the headers',
      spec('deny: {headers: {content-length: "1"}}'),
      'ForbiddenHeader spec.deny.headers.content-length 4:42',
    ],
    [
      'a line break among the headers',
      spec('deny: {headers: {x-a: "a\\nb"}}'),
      'BadHeaderValue spec.deny.headers.x-a 4:47',
    ],
    ['no endpoints', proxy(''), 'MissingField spec 4:7'],
    ['an empty list of endpoints', proxy('endpoints: []'), 'EmptyList spec.endpoints 4:19'],
    ['an endpoint as a text', proxy('endpoints: ["http://a:1"]'), 'WrongType spec.endpoints[0] 4:20'],
    ['an endpoint without a scheme', proxy('endpoints: [{url: "a:3128"}]'), 'BadEndpoint spec.endpoints[0].url 4:26'],
    [
      'an endpoint of another scheme',
      proxy('endpoints: [{url: "socks5://a:1080"}]'),
      'BadEndpoint spec.endpoints[0].url 4:26',
    ],
    ['an endpoint without a port', proxy('endpoints: [{url: "http://a"}]'), 'BadEndpoint spec.endpoints[0].url 4:26'],
    ['an endpoint with a path', proxy('endpoints: [{url: "http://a:1/b"}]'), 'BadEndpoint spec.endpoints[0].url 4:26'],
    [
      'an endpoint with a password',
      proxy('endpoints: [{url: "http://u:hunter2@a:1"}]'),
      'BadEndpoint spec.endpoints[0].url 4:26',
    ],
    [
      'an endpoint with a bad host',
      proxy('endpoints: [{url: "http://a b:1"}]'),
      'BadEndpoint spec.endpoints[0].url 4:26',
    ],
    ['auth without a Secret', proxy('endpoints: [{url: "http://a:1"}], auth: {}'), 'MissingField spec.auth 4:48'],
    [
      'a Secret without a namespace',
      proxy('endpoints: [{url: "http://a:1"}], auth: {secretRef: {name: a}}'),
      'MissingField spec.auth.secretRef 4:60',
    ],
    [
      'a Secret outside of its folder',
      proxy('endpoints: [{url: "http://a:1"}], auth: {secretRef: {name: "../x", namespace: a}}'),
      'BadName spec.auth.secretRef.name 4:67',
    ],
    [
      'a key outside of its folder',
      proxy('endpoints: [{url: "https://a:1"}], caBundle: {secretRef: {name: x, namespace: a, key: "../k"}}'),
      'BadName spec.caBundle.secretRef.key 4:94',
    ],
    [
      'a bundle of two kinds',
      proxy(
        'endpoints: [{url: "https://a:1"}], caBundle: {secretRef: {name: x, namespace: a}, configMapRef: {name: x, namespace: a}}',
      ),
      'BadReference spec.caBundle 4:43',
    ],
    ['a bundle of none', proxy('endpoints: [{url: "https://a:1"}], caBundle: {}'), 'BadReference spec.caBundle 4:43'],
    [
      'an address among the hosts of a parent',
      proxy('endpoints: [{url: "http://a:1"}], hosts: [10.0.0.1]'),
      'BadHost spec.hosts[0] 4:50',
    ],
    [
      'a U-label among its exceptions',
      proxy('endpoints: [{url: "http://a:1"}], hosts: ["*"], except: [bücher.test]'),
      'BadHost spec.except[0] 4:65',
    ],
    [
      'a resolve that is none',
      proxy('endpoints: [{url: "http://a:1"}], resolve: Remote'),
      'BadValue spec.resolve 4:51',
    ],
  ])('%s', (_, text, finding) => {
    expect(found(text)).toContain(finding);
    expect(load(text).documents).toEqual([]);
  });

  test('a password in a URL is not repeated', () => {
    const {findings} = load(proxy('endpoints: [{url: "http://u:hunter2@a:1"}]'));
    expect(findings.map(formatFinding).join()).not.toContain('hunter2');
  });

  test.each([
    ['EgresPolicy', 'Did you mean EgressPolicy?'],
    ['Pod', 'There are EgressPolicy, ClusterEgressPolicy, UpstreamProxy, MeshEgress.'],
  ])('the kind %s: %s', (kind, fix) => {
    expect(load(`${HEAD}kind: ${kind}\n`).findings[0]!.fix).toBe(fix);
  });
});

describe('YAML that is refused', () => {
  test.each<[string, string, string]>([
    ['a key twice', `${GOOD}kind: EgressPolicy\n`, 'DuplicateKey kind 5:1'],
    [
      'a key twice, deep',
      spec('rules: [{name: r, to: {hosts: [a.test], hosts: [b.test]}}]'),
      'DuplicateKey spec.rules[0].to.hosts 4:65',
    ],
    ['a key that is a number', `${HEAD}1: a\n`, 'BadYaml  2:1'],
    ['a key that is a list', `${HEAD}? [a]\n: b\n`, 'BadYaml  2:3'],
    ['bad indentation', `${HEAD}kind: a\n  b: c\n`, 'BadYaml  2:7'],
    ['an open bracket', 'a: [b', 'BadYaml  1:6'],
    ['a tag', `${HEAD}kind: !secret EgressPolicy\n`, 'BadYaml  2:7'],
    ['an alias to nothing', `${HEAD}kind: *none\n`, 'BadYaml kind 2:7'],
    ['an alias to itself', 'a: &a [*a]', 'BadYaml a[0] 1:8'],
    ['another YAML', `# old\n%YAML 1.1\n`, 'BadYaml  2:1'],
    [
      'a merge key',
      `${HEAD}kind: EgressPolicy\n<<: {metadata: {name: a, namespace: b}}\nspec: {podSelector: {}}\n`,
      'UnknownField ["<<"] 3:1',
    ],
    ['__proto__', `${GOOD}__proto__: {a: b}\n`, 'UnknownField __proto__ 5:1'],
    ['constructor', `${GOOD}constructor: {a: b}\n`, 'UnknownField constructor 5:1'],
    ['nesting without end', '['.repeat(20_000), 'BadYaml  1:1'],
    ['nesting without end, balanced', `a: ${'['.repeat(500)}${']'.repeat(500)}`, 'TooLarge'],
  ])('%s', (_, text, finding) => {
    const findings = found(text);
    expect(findings.some((one) => one.startsWith(finding))).toBe(true);
    expect(load(text).documents).toEqual([]);
  });

  test('a billion laughs', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 12; i++)
      lines.push(`a${i}: &a${i} [${Array.from({length: 10}, () => `*a${i - 1}`).join(', ')}]`);
    const {findings} = load(lines.join('\n'));
    expect(findings.map(({code}) => code)).toEqual(['TooLarge']);
  });

  test('aliases of one list are read as if written out', () => {
    const {documents, findings} = load(
      spec('rules: [{name: r, to: {hosts: &h [a.test, b.test]}}, {name: s, to: {hosts: *h, schemes: [http]}}]'),
    );
    expect(findings).toEqual([]);
    expect((documents[0] as PolicyDocument).rules.map(({to}) => to.hosts)).toEqual([
      ['a.test', 'b.test'],
      ['a.test', 'b.test'],
    ]);
  });

  test('the same object twice, over two files', () => {
    const {documents, findings} = loadDocuments([
      {file: 'a.yaml', text: GOOD},
      {file: 'b.yaml', text: `# again\n---\n${GOOD}`},
    ]);
    expect(documents.map(({at}) => at.file)).toEqual(['a.yaml']);
    expect(findings.map(formatFinding)).toEqual([
      'b.yaml:3:1: error DuplicateObject: EgressPolicy b/a is written before, at a.yaml:1. Keep one of the two, or give this one another name. (EgressPolicy b/a)',
    ]);
  });

  test('a message never carries control characters on', () => {
    fc.assert(
      fc.property(fc.string({unit: 'binary'}), (text) => {
        for (const source of [
          text,
          `${HEAD}kind: ${text}`,
          spec(`rules: [{name: r, to: {hosts: [${JSON.stringify(text)}]}, when: ${JSON.stringify(text)}}]`),
        ])
          for (const finding of load(source).findings)
            expect(formatFinding(finding)).not.toMatch(/[\p{Cc}\u2028\u2029\u202e]/u);
      }),
    );
  });
});

describe('documents beside one another', () => {
  test.each<[string, string]>([
    ['a syntax error', 'a: [b'],
    ['a wrong document', `${HEAD}kind: Nothing`],
    ['a tab', '\t- a: b'],
    ['an open quote', 'a: "b'],
    ['an alias to the document before', 'a: *x'],
  ])('%s leaves the documents before and after it alone', (_, bad) => {
    const after = GOOD.replace('name: a', 'name: c');
    const {documents, findings} = load(`---\n${GOOD}---\n${bad}\n--- # next\n${after}`);
    expect(documents.map(documentName)).toEqual(['EgressPolicy b/a', 'EgressPolicy b/c']);
    expect(findings).not.toEqual([]);
    expect(findings.every(({at}) => at.line >= 6 && at.line <= 8)).toBe(true);
  });

  test('positions count from the beginning of the file', () => {
    const {documents} = load(`# comment\n---\n${GOOD}---\n\n# and\n${GOOD.replace('name: a', 'name: c')}`);
    expect(documents.map(({at}) => [at.line, at.column])).toEqual([
      [3, 1],
      [10, 1],
    ]);
  });

  test.each(['', '\n', '# nothing', '---\n---\n', '---\n# nothing\n...\n', '\uFEFF'])(
    '%j holds no documents and no findings',
    (text) => {
      expect(load(text)).toEqual({documents: [], setups: [], findings: []});
    },
  );

  test('CRLF, a byte order mark and an end marker make no difference', () => {
    const {documents, findings} = load(`\uFEFF---\r\n${GOOD.replaceAll('\n', '\r\n')}...\r\n`);
    expect(findings).toEqual([]);
    expect(documents.map(documentName)).toEqual(['EgressPolicy b/a']);
  });

  test('a List is its items, with their positions', () => {
    const list = {
      apiVersion: 'v1',
      kind: 'List',
      metadata: {},
      items: [parse(GOOD), {...parse(GOOD), kind: 'Pod'}, {...parse(GOOD), metadata: {name: 'z', namespace: 'b'}}],
    };
    const {documents, findings} = load(JSON.stringify(list, null, 1), 'list.json');
    expect(documents.map(documentName)).toEqual(['EgressPolicy b/a', 'EgressPolicy b/z']);
    expect(findings.map(({path, at}) => [path, at.line])).toEqual([['items[1].kind', 29]]);
  });
});

describe('what is accepted', () => {
  test("Kubernetes' own fields and status are not looked at", () => {
    const {findings, documents} = load(
      policy(
        '{name: a, namespace: b, labels: {x: y}, annotations: {z: w}, uid: u, resourceVersion: "1", generation: 3, creationTimestamp: 2026-01-01T00:00:00Z, managedFields: [{a: [b]}], finalizers: [f], ownerReferences: []}',
        '{podSelector: {}}',
      ) + 'status: {conditions: [{type: Ready}]}\n',
    );
    expect(findings).toEqual([]);
    expect(documents).toHaveLength(1);
  });

  test('a policy in full', () => {
    const {documents, findings} = load(
      policy(
        '{name: a}',
        `{podSelector: {matchLabels: {app: web, example.com/x: ""}, matchExpressions: [{key: tier, operator: NotIn, values: [a, b]}, {key: z, operator: Exists}]},
          namespaceSelector: {matchLabels: {team: t}}, serviceAccounts: [ns/runner], mode: Audit,
          deny: {status: 418, contentType: text/html, body: "no\\n", headers: {X-Help: wiki}}}`,
        'ClusterEgressPolicy',
      ),
    );
    expect(findings).toEqual([]);
    expect(documents[0]).toEqual({
      kind: 'ClusterEgressPolicy',
      name: 'a',
      namespace: null,
      podSelector: {
        matchLabels: {app: 'web', 'example.com/x': ''},
        matchExpressions: [
          {key: 'tier', operator: 'NotIn', values: ['a', 'b']},
          {key: 'z', operator: 'Exists', values: []},
        ],
      },
      namespaceSelector: {matchLabels: {team: 't'}, matchExpressions: []},
      serviceAccounts: ['ns/runner'],
      mode: 'Audit',
      rules: [],
      deny: {status: 418, headers: ['content-type', 'text/html', 'x-help', 'wiki'], body: 'no\n'},
      at: {file: 'p.yaml', line: 1, column: 1},
    });
  });

  test.each<[string, PolicyDocument['deny']]>([
    ['deny: {}', {status: 403, headers: ['content-type', 'text/plain; charset=utf-8'], body: null}],
    [
      'deny: {status: 302, headers: {location: "https://help.test/"}}',
      {
        status: 302,
        headers: ['content-type', 'text/plain; charset=utf-8', 'location', 'https://help.test/'],
        body: null,
      },
    ],
    ['deny: {body: ""}', {status: 403, headers: ['content-type', 'text/plain; charset=utf-8'], body: ''}],
    ['mode: Enforce', null],
  ])('%s', (fields, deny) => {
    expect((load(spec(fields)).documents[0] as PolicyDocument).deny).toEqual(deny);
  });

  test('a parent in full', () => {
    const {documents, findings} = load(
      proxy(
        'endpoints: [{url: "http://10.1.2.3:3128"}, {url: "HTTPS://Proxy.Corp:3129/"}, {url: "http://[2001:db8::1]:3128"}], auth: {secretRef: {name: s, namespace: n}}, caBundle: {configMapRef: {name: c, namespace: n}}, hosts: ["*"], except: ["*.Corp"], resolve: Local',
      ),
    );
    expect(findings).toEqual([]);
    expect(documents[0]).toEqual({
      kind: 'UpstreamProxy',
      name: 'corp',
      endpoints: [
        {tls: false, host: '10.1.2.3', port: 3128},
        {tls: true, host: 'proxy.corp', port: 3129},
        {tls: false, host: '2001:db8::1', port: 3128},
      ],
      auth: {kind: 'secret', namespace: 'n', name: 's', key: null},
      caBundle: {kind: 'configMap', namespace: 'n', name: 'c', key: 'ca.crt'},
      hosts: ['*'],
      except: ['*.corp'],
      resolve: 'Local',
      at: {file: 'p.yaml', line: 1, column: 1},
    } satisfies UpstreamProxyDocument);
  });

  test('a plain object of a watch is read like a file, and named where it has no position', () => {
    const good = readDocument(parse(GOOD));
    expect(good.document).toMatchObject({
      kind: 'EgressPolicy',
      name: 'a',
      at: {file: 'EgressPolicy b/a', line: 1, column: 1},
    });
    const bad = readDocument({...parse(GOOD), spec: {podSelector: {}, rules: [{name: 'r', to: {hosts: ['1.2.3.4']}}]}});
    expect(bad.document).toBeNull();
    expect(bad.findings.map(formatFinding)[0]).toMatch(
      /^EgressPolicy b\/a:1:1: error BadHost: .*spec\.rules\[0\]\.to\.hosts\[0\]\)$/,
    );
    for (const value of [null, 1, 'a', [], {}, undefined]) expect(readDocument(value).document).toBeNull();
  });
});

describe('whatever the text', () => {
  const samples = [
    GOOD,
    proxy('endpoints: [{url: "http://a:1"}]'),
    spec(
      'deny: {status: 418}, rules: [{name: r, to: {hosts: &h ["*.a.test"]}, when: "true"}, {name: s, to: {hosts: *h}}]',
    ),
    JSON.stringify(parse(GOOD)),
  ];

  test('loading does not throw, and every document that comes out of it is without errors', () => {
    const pieces = fc.constantFrom(
      '\n',
      '  ',
      '- ',
      ': ',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      '*',
      '&a ',
      '*a',
      '!t ',
      '|',
      '>',
      '#',
      '---\n',
      '...\n',
      '%',
      '\t',
      '\0',
      'null',
      '?',
      ',',
      '\u{1F600}',
      '\uD800',
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.array(fc.record({at: fc.nat(400), cut: fc.nat(6), put: pieces}), {minLength: 1, maxLength: 6}),
        (sample, edits) => {
          const text = edits.reduce((t, {at, cut, put}) => t.slice(0, at) + put + t.slice(at + cut), sample);
          const {documents, findings} = load(text);
          const lines = text.split('\n');
          for (const {at} of findings) {
            expect(at.line).toBeLessThanOrEqual(lines.length);
            expect(at.column).toBeLessThanOrEqual(lines[at.line - 1]!.length + 1);
          }
          const bad = new Set(
            findings
              .filter(({severity, code}) => severity === 'error' && code !== 'DuplicateObject')
              .map(({object}) => object),
          );
          if (!text.includes('---'))
            for (const document of documents) expect(bad).not.toContain(documentName(document));
        },
      ),
      {numRuns: 500},
    );
  });

  test('any value in place of any part is refused or accepted, and never thrown at', () => {
    const base = parse(samples[2]!) as Record<string, unknown>;
    fc.assert(
      fc.property(fc.array(fc.nat(20), {minLength: 1, maxLength: 6}), fc.jsonValue(), (path, value) => {
        const copy = structuredClone(base);
        let at: Record<string, unknown> = copy;
        path.forEach((n, depth) => {
          const keys = Object.keys(at);
          if (keys.length === 0) return;
          const key = keys[n % keys.length]!;
          const next = at[key];
          if (depth === path.length - 1 || typeof next !== 'object' || next === null) at[key] = value;
          else at = next as Record<string, unknown>;
        });
        const {document, findings} = readDocument(copy);
        expect(document === null).toBe(findings.some(({severity}) => severity === 'error'));
      }),
      {numRuns: 500},
    );
  });
});

describe('the conformance cases', () => {
  interface Case {
    policies?: unknown[];
    steps: {name: string; apply?: unknown[]; expect?: {loadError?: string}}[];
  }
  const folder = new URL('../../test/conformance/cases/', import.meta.url);
  const cases = readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => [file, parse(readFileSync(new URL(file, folder), 'utf8')) as Case] as const);
  const errors = (documents: unknown[]) =>
    load(documents.map((document) => `---\n${stringify(document)}`).join(''))
      .findings.filter(({severity}) => severity === 'error')
      .map(formatFinding);

  test.each(cases)('%s', (_, {policies = [], steps}) => {
    expect(errors(policies)).toEqual([]);
    for (const {name, apply, expect: expected} of steps) {
      if (apply === undefined) continue;
      const messages = errors(apply);
      if (expected?.loadError === undefined) expect([name, messages]).toEqual([name, []]);
      else expect([name, messages.join('\n')]).toEqual([name, expect.stringContaining(expected.loadError)]);
    }
  });
});
