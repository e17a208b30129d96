import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {Environment} from '@marcbachmann/cel-js';
import {compileCondition} from './compile.ts';
import type {Condition, ConditionInput, ConditionRequest, Sees, Truth} from './condition.ts';
import {MAX_SOURCE_CHARACTERS} from './limits.ts';

const REQUEST: ConditionRequest = {
  method: 'GET',
  scheme: 'https',
  host: 'api.test',
  port: 443,
  path: '/v1/a',
  query: new Map([
    ['tag', ['beta', 'stable']],
    ['empty', []],
  ]),
  headers: {accept: 'text/html', 'x-env': 'canary', 'x-n': '7', long: 'a'.repeat(4000)},
};
const INPUT: ConditionInput = {
  request: REQUEST,
  source: {namespace: 'default', name: 'web-1', labels: {app: 'web'}, serviceAccount: 'runner'},
  destination: {ip: '93.184.216.34', port: 443},
  tls: {sni: 'api.test'},
};

function compiled(source: string, sees: Sees = 'request'): Condition {
  const result = compileCondition(source, {sees});
  if (!result.ok) throw new Error(`${source}: ${result.message}`);
  return result.condition;
}
const evaluate = (source: string, input: Partial<ConditionInput> = {}): Truth =>
  compiled(source).evaluate({...INPUT, ...input});

describe('what a condition says', () => {
  test.each<[string, Truth]>([
    ['request.method == "GET"', true],
    ['request["method"] == "GET"', true],
    ['request.method != "GET"', false],
    ['request.scheme == "https" && request.port == 443 && request.host == "api.test"', true],
    ['request.path.startsWith("/v1/") && request.path.endsWith("a")', true],
    ['request.headers["x-env"] == "canary"', true],
    ['request.headers.accept.contains("html")', true],
    ['request.headers["x-none"] == ""', 'unknown'],
    ['"x-env" in request.headers', true],
    ['"x-none" in request.headers', false],
    ['has(request.headers.accept)', true],
    ['has(request.headers.other)', false],
    ['has(request.method)', true],
    ['request.query["tag"].exists(t, t == "stable")', true],
    ['request.query["tag"].all(t, t == "stable")', false],
    ['request.query["tag"].exists_one(t, t.startsWith("s"))', true],
    ['request.query["empty"].exists(t, true)', false],
    ['request.query["empty"].all(t, false)', true],
    ['request.query["none"].exists(t, true)', 'unknown'],
    ['request.query["tag"][1] == "stable"', true],
    ['request.query["tag"][2] == "stable"', 'unknown'],
    ['request.query["tag"][-1] == "stable"', 'unknown'],
    ['request.query["tag"].map(t, t + "!") == ["beta!", "stable!"]', true],
    ['request.query["tag"].map(t, t == "beta", t.size()) == [4]', true],
    ['request.query["tag"].filter(t, t != "beta") == ["stable"]', true],
    ['request.headers.exists(k, k.startsWith("x-") && request.headers[k] == "canary")', true],
    ['request.headers.all(k, k == k.lowerAscii())', true],
    ['size(request.headers) == 4 && request.headers.size() == 4', true],
    ['request.method in ["GET", "HEAD"]', true],
    ['request.port in [443, 8443]', true],
    ['request.method in [request.scheme, "GET"]', true],
    ['request.port + 1 == 444 && request.port - 1 == 442 && request.port * 2 == 886', true],
    ['request.port / 2 == 221 && request.port % 2 == 1 && -request.port < 0', true],
    ['request.port / 0 == 1', 'unknown'],
    ['request.port % 0 == 1', 'unknown'],
    ['9223372036854775807 + request.port > 0', 'unknown'],
    ['request.port > 1 ? request.method == "GET" : false', true],
    ['request.method > "FOO" && request.method <= "GET"', true],
    ['int(request.headers["x-n"]) == 7 && string(request.port) == "443"', true],
    ['int(request.headers["x-env"]) == 7', 'unknown'],
    ['int("0x10") == 16', 'unknown'],
    ['int(" 1") == 1', 'unknown'],
    ['"ABC".lowerAscii() == "abc" && "abc".upperAscii() == "ABC" && " a ".trim() == "a"', true],
    ['"\u212A".lowerAscii() == "k"', false],
    ['"a,b".split(",") == ["a", "b"] && "abc".substring(1) == "bc" && "abc".substring(1, 2) == "b"', true],
    ['"abc".substring(2, 1) == ""', 'unknown'],
    ['"abc".indexOf("c") == 2 && "\u{1F600}".size() == 1', true],
    ['!(request.method == "GET")', false],
    ['source.namespace == "default" && source.name == "web-1" && source.serviceAccount == "runner"', true],
    ['source.labels["app"] == "web" && source.labels.app == "web"', true],
    ['source.labels["team"] == "a"', 'unknown'],
    ['destination.ip.startsWith("93.") && destination.port == 443 && tls.sni == "api.test"', true],
    ['request.headers["x-n"].matches("^[0-9]+$")', true],
    ['request.headers["x-env"].matches("^[0-9]+$")', false],
    ['request.headers["x-env"].matches("nar")', true],
    ['[1, 2].exists(x, [1, 2].exists(y, x + y == 4))', true],
    ['request.headers["__proto__"] == "a" || "constructor" in request.headers', 'unknown'],
    ['"constructor" in request.headers', false],
    ['true', true],
  ])('%s is %s', (source, truth) => expect(evaluate(source)).toBe(truth));
});

describe('an error on one side is absorbed by the other where that settles it', () => {
  const missing = 'request.headers["x-none"] == "a"';
  test.each<[string, Truth]>([
    [`${missing} || true`, true],
    [`true || ${missing}`, true],
    [`${missing} || false`, 'unknown'],
    [`false || ${missing}`, 'unknown'],
    [`${missing} && false`, false],
    [`false && ${missing}`, false],
    [`${missing} && true`, 'unknown'],
    [`!(${missing})`, 'unknown'],
    [`${missing} ? true : true`, 'unknown'],
    [`["a", "b"].exists(x, x == "b" || request.headers[x] == "c")`, true],
    [`["a", "b"].exists(x, request.headers[x] == "c")`, 'unknown'],
    [`["a", "b"].all(x, x != "b" && request.headers[x] == "c")`, false],
    [`["accept", "none"].exists_one(x, request.headers[x] == "text/html")`, 'unknown'],
  ])('%s is %s', (source, truth) => expect(evaluate(source)).toBe(truth));
});

describe('a null is unknown, not empty', () => {
  test.each<[string, Partial<ConditionInput>, Truth]>([
    ['request.method == "GET"', {request: null}, 'unknown'],
    ['request.port == 443', {request: null}, 'unknown'],
    ['"x-env" in request.headers', {request: null}, 'unknown'],
    ['!("x-env" in request.headers)', {request: null}, 'unknown'],
    ['request.query["tag"].all(t, t == "a")', {request: null}, 'unknown'],
    ['request.method == "GET" || source.namespace == "default"', {request: null}, true],
    ['tls.sni == ""', {tls: {sni: null}}, 'unknown'],
    ['tls.sni != "a"', {tls: {sni: null}}, 'unknown'],
    ['has(tls.sni)', {tls: {sni: null}}, 'unknown'],
    ['destination.ip == "1.2.3.4"', {destination: {ip: null, port: 1}}, 'unknown'],
    ['source.labels["app"] == "web"', {source: {...INPUT.source, labels: null}}, 'unknown'],
    ['!has(source.labels.app)', {source: {...INPUT.source, labels: null}}, 'unknown'],
  ])('%s with %j is %s', (source, input, truth) => expect(evaluate(source, input)).toBe(truth));
});

describe('what is refused, at which offset and why', () => {
  test.each<[string, Sees, number, string]>([
    ['request.method', 'request', 0, 'type string'],
    ['request.method ==', 'request', 17, 'unexpected token'],
    ['', 'request', 0, 'unexpected token'],
    ['request.method == 1', 'request', 0, 'no such overload: string == int'],
    ['true && request.nope == ""', 'request', 16, 'no such key: nope'],
    ['has(request.nope)', 'request', 4, 'request has the fields'],
    ['request == request', 'request', 0, 'no such overload'],
    ['[request].size() == 1', 'request', 1, 'name one of its fields'],
    ['request[request.method] == ""', 'request', 0, 'request has the fields'],
    ['request.headers[request.port] == ""', 'request', 16, 'the keys of this map are texts'],
    ['request.headers["X-Env"] == ""', 'request', 0, 'write "x-env"'],
    ['"X-Env" in request.headers', 'request', 0, 'write "x-env"'],
    ['has(request.headers.Accept)', 'request', 4, 'write "accept"'],
    ['nothing == ""', 'request', 0, 'unknown variable: nothing'],
    ['request.method == "GET"', 'connection', 0, 'not seen by tls and tcp rules'],
    ['request.path.matches(request.method)', 'request', 0, 'a pattern in quotes'],
    ['request.path.matches("(?=a)")', 'request', 21, 'no RE2 pattern'],
    ['request.path.matches("(a{1,90}){1,10}")', 'request', 21, 'instructions'],
    ['cel.bind(x, request.path + request.path, x == "")', 'request', 0, 'cel.bind is not available'],
    [
      'timestamp("2026-01-01T00:00:00Z") < timestamp("2027-01-01T00:00:00Z")',
      'request',
      0,
      'timestamp() is not available',
    ],
    ['dyn(1) == "a"', 'request', 0, 'dyn() is not available'],
    ['{"a": "b"}["a"] == "b"', 'request', 1, ''],
    ['1.5 > 1.0', 'request', 0, 'integers'],
    ['[1].exists(a, [1].exists(b, [1].exists(c, true)))', 'request', 28, 'nested deeper than 2'],
    ['[1].exists(a, [1].exists(a, true))', 'request', 25, 'already a variable'],
    [`"${'a'.repeat(MAX_SOURCE_CHARACTERS)}" == ""`, 'request', 0, 'longer than'],
    ['('.repeat(200) + 'true' + ')'.repeat(200), 'request', -1, ''],
  ])('%s (%s)', (source, sees, at, message) => {
    const result = compileCondition(source, {sees});
    expect(result.ok).toBe(false);
    if (result.ok) return;
    if (at >= 0) expect(result.at).toBe(at);
    expect(result.message).toContain(message);
  });
});

describe('what it needs', () => {
  test.each<[string, Partial<Condition>]>([
    ['source.namespace == "a"', {needsRequest: false, needsHeaders: false, usesDestinationIp: false}],
    ['request.method == "GET"', {needsRequest: true, needsHeaders: false, usesDestinationIp: false}],
    ['has(request.headers.accept)', {needsRequest: true, needsHeaders: true, usesDestinationIp: false}],
    ['destination.port == 1 || destination.ip == "1.2.3.4"', {needsRequest: false, usesDestinationIp: true}],
    ['["a"].exists(request, request == "a")', {needsRequest: false}],
  ])('%s', (source, needs) => expect(compiled(source)).toMatchObject(needs));

  test.each<[string, string[]]>([
    ['request.headers["x-env"] == "a"', ['request.headers["x-env"]']],
    ['request.headers.accept == "a"', ['request.headers["accept"]']],
    ['"x-env" in request.headers && request.headers["x-env"] == "a"', []],
    ['request.headers["x-env"] == "a" && "x-env" in request.headers', []],
    ['has(request.headers.accept) && request.headers.accept == "a"', []],
    ['!("x-env" in request.headers) || request.headers["x-env"] == "a"', []],
    ['!("x-env" in request.headers && request.headers["x-env"] == "a")', []],
    ['"x-env" in request.headers || request.headers["x-env"] == "a"', ['request.headers["x-env"]']],
    ['"x-a" in request.headers && request.headers["x-env"] == "a"', ['request.headers["x-env"]']],
    ['"x-env" in request.headers ? request.headers["x-env"] == "a" : false', []],
    ['request.query["tag"].exists(t, t == "a")', ['request.query["tag"]']],
    ['source.labels["app"] == "a" && source.namespace == "b"', ['source.labels["app"]']],
    ['request.method == "GET" && tls.sni == "a"', []],
  ])('%s reads unguarded %j', (source, texts) => {
    const result = compileCondition(source, {sees: 'request'});
    expect(result.ok && result.unguarded.map((entry) => entry.text)).toEqual(texts);
  });
});

describe('the cost at run time', () => {
  const many = (n: number, value: string) =>
    Object.fromEntries(Array.from({length: n}, (_, i) => [`h-${i}`, `${value}${i}`]));

  test('every header against every header of an ordinary request is within the budget', () => {
    const headers = many(40, 'v');
    expect(
      evaluate(
        'request.headers.exists(a, request.headers.exists(b, a != b && request.headers[a] == request.headers[b]))',
        {
          request: {...REQUEST, headers},
        },
      ),
    ).toBe(false);
  });

  test.each([
    'request.headers.exists(a, request.headers.exists(b, request.headers[a].contains(request.headers[b] + "x")))',
    'request.headers.exists(a, request.headers.exists(b, (a + b).matches("^(a|b)*c$")))',
    'request.headers.all(a, request.headers.all(b, (request.headers[a] + request.headers[b]).size() > 0))',
  ])('too costly is unknown: %s', (source) => {
    expect(evaluate(source, {request: {...REQUEST, headers: many(600, 'a'.repeat(100))}})).toBe('unknown');
  });

  test('a chain of 400 alternatives still compiles', () => {
    const source = Array.from({length: 300}, (_, i) => `request.port==${i}`).join('||');
    expect(evaluate(source.slice(0, MAX_SOURCE_CHARACTERS).replace(/\|\|[^|]*$/, ''))).not.toBe('unknown');
  });
});

/** The library's own evaluator, whose errors are our unknown, on the part of the language that both have. */
const reference = new Environment()
  .registerVariable('request', {
    schema: {method: 'string', port: 'int', query: 'map<string, list<string>>', headers: 'map<string, string>'},
  })
  .registerVariable('source', {schema: {labels: 'map<string, string>'}});

function referenceTruth(source: string): Truth {
  try {
    const value: unknown = reference.evaluate(source, {
      request: {method: REQUEST.method, port: BigInt(REQUEST.port), query: REQUEST.query, headers: REQUEST.headers},
      source: {labels: INPUT.source.labels},
    });
    return typeof value === 'boolean' ? value : 'unknown';
  } catch {
    return 'unknown';
  }
}

const {bool} = fc.letrec<{bool: string; text: string; int: string; texts: string}>((tie) => ({
  bool: fc.oneof(
    {maxDepth: 4, withCrossShrink: true},
    fc.constantFrom('true', 'false'),
    fc.tuple(tie('bool'), fc.constantFrom('&&', '||'), tie('bool')).map(([a, op, b]) => `(${a} ${op} ${b})`),
    tie('bool').map((a) => `!(${a})`),
    fc.tuple(tie('bool'), tie('bool'), tie('bool')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
    fc
      .tuple(tie('text'), fc.constantFrom('==', '!=', '<', '<=', '>', '>='), tie('text'))
      .map(([a, op, b]) => `${a} ${op} ${b}`),
    fc
      .tuple(tie('int'), fc.constantFrom('==', '!=', '<', '<=', '>', '>='), tie('int'))
      .map(([a, op, b]) => `${a} ${op} ${b}`),
    fc.tuple(tie('text'), tie('texts')).map(([a, b]) => `${a} in ${b}`),
    fc.tuple(tie('text'), fc.constantFrom('request.headers', 'source.labels')).map(([a, b]) => `${a} in ${b}`),
    fc
      .tuple(tie('text'), fc.constantFrom('startsWith', 'endsWith', 'contains'), tie('text'))
      .map(([a, f, b]) => `${a}.${f}(${b})`),
    fc
      .tuple(tie('texts'), fc.constantFrom('exists', 'all', 'exists_one'), tie('bool'))
      .map(([list, macro, body]) => `${list}.${macro}(x, x == "beta" || ${body})`),
    fc.constantFrom('has(request.headers.accept)', 'has(request.headers.none)', '"7".matches("[0-9]")'),
  ),
  text: fc.oneof(
    {maxDepth: 3},
    fc.constantFrom(
      '""',
      '"a"',
      '"beta"',
      '"x-n"',
      'request.method',
      'request.headers["x-n"]',
      'request.headers["none"]',
    ),
    tie('text').map((a) => `request.headers[${a}]`),
    fc.tuple(tie('text'), tie('text')).map(([a, b]) => `(${a} + ${b})`),
    tie('text').map((a) => `${a}.upperAscii()`),
    fc.tuple(tie('text'), tie('int')).map(([a, n]) => `${a}.substring(${n})`),
    tie('int').map((n) => `string(${n})`),
    fc.tuple(tie('texts'), tie('int')).map(([list, n]) => `${list}[${n}]`),
  ),
  int: fc.oneof(
    {maxDepth: 3},
    fc.constantFrom('0', '1', '2', 'request.port', '9223372036854775807'),
    fc.tuple(tie('int'), fc.constantFrom('+', '-', '*', '/', '%'), tie('int')).map(([a, op, b]) => `(${a} ${op} ${b})`),
    tie('texts').map((list) => `size(${list})`),
    tie('text').map((a) => `${a}.size()`),
    tie('text').map((a) => `int(${a}.substring(0, 0) + "3")`),
  ),
  texts: fc.oneof(
    {maxDepth: 3},
    fc.constantFrom('request.query["tag"]', 'request.query["empty"]', 'request.query["none"]', '["a", "beta"]'),
    fc.tuple(tie('text'), tie('text')).map(([a, b]) => `[${a}, ${b}]`),
    fc.tuple(tie('texts'), tie('text')).map(([list, body]) => `${list}.map(x, x + ${body})`),
    fc.tuple(tie('texts'), tie('bool')).map(([list, body]) => `${list}.filter(x, ${body})`),
    fc.tuple(tie('texts'), tie('texts')).map(([a, b]) => `(${a} + ${b})`),
  ),
}));

describe('against the library', () => {
  test('where both know the answer, it is the same; where one does not, neither does', () => {
    let decided = 0;
    fc.assert(
      fc.property(bool, (source) => {
        const result = compileCondition(source, {sees: 'request'});
        // Nesting and redeclared variables are bounded here and not there.
        fc.pre(result.ok);
        const truth = result.ok ? result.condition.evaluate(INPUT) : 'unknown';
        if (truth !== 'unknown') decided++;
        expect(truth).toBe(referenceTruth(source));
      }),
      {numRuns: 2000},
    );
    expect(decided).toBeGreaterThan(100);
  });

  test('compiling never throws, whatever the text', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc
            .array(
              fc.constantFrom(
                'request',
                '.',
                'headers',
                '[',
                ']',
                '"a"',
                '(',
                ')',
                '&&',
                '1',
                'exists',
                ',',
                '==',
                '{',
                '}',
              ),
            )
            .map((parts) => parts.join('')),
        ),
        (source) => {
          const result = compileCondition(source, {sees: 'request'});
          if (result.ok) result.condition.evaluate(INPUT);
          else expect(result.at).toBeGreaterThanOrEqual(0);
        },
      ),
      {numRuns: 1000},
    );
  });
});
