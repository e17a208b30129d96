/** Conditions: compiled and evaluated, against the library's own evaluator where both have the same language. */
import {Environment} from '@marcbachmann/cel-js';
import {compileCondition} from '../../../policy/cel/compile.ts';
import type {ConditionInput, Truth} from '../../../policy/cel/condition.ts';
import {hold} from '../target.ts';
import type {Target} from '../target.ts';

const HEADERS = {accept: 'text/html', 'x-env': 'canary', 'x-n': '7'};
const QUERY = new Map([
  ['tag', ['beta', 'stable']],
  ['empty', []],
]);
const LABELS = {app: 'web'};
const INPUT: ConditionInput = {
  request: {method: 'GET', scheme: 'https', host: 'api.test', port: 443, path: '/v1/a', query: QUERY, headers: HEADERS},
  source: {namespace: 'default', name: 'web-1', labels: LABELS, serviceAccount: 'runner'},
  destination: {ip: '93.184.216.34', port: 443},
  tls: {sni: 'api.test'},
};

const library = new Environment()
  .registerVariable('request', {
    schema: {method: 'string', port: 'int', path: 'string', query: 'map<string, list<string>>', headers: 'map<string, string>'}, // prettier-ignore
  })
  .registerVariable('source', {schema: {labels: 'map<string, string>'}});

function libraryTruth(source: string): Truth {
  try {
    const value: unknown = library.evaluate(source, {
      request: {method: 'GET', port: 443n, path: '/v1/a', query: QUERY, headers: HEADERS},
      source: {labels: LABELS},
    });
    return typeof value === 'boolean' ? value : 'unknown';
  } catch {
    return 'unknown';
  }
}

/** Where the two differ on purpose: RE2 instead of the engine’s expressions; int("") is an error and not 0. */
const APART = /matches|\bint\b|scheme|host|destination|tls|namespace|serviceAccount|source\.name/;

function run(input: Buffer): string {
  const source = input.toString('utf8');
  const compiled = compileCondition(source, {sees: 'request'});
  const blind = compileCondition(source, {sees: 'connection'});
  if (!compiled.ok) {
    hold(compiled.at >= 0 && compiled.at <= source.length, `a place outside of the text: ${compiled.at}`);
    hold(!blind.ok, 'a condition of the connection that is none of the request');
    return compiled.message.replace(/["'`:(].*|\d+/g, '').slice(0, 30);
  }
  const truth = compiled.condition.evaluate(INPUT);
  // A request that was not seen can make a known answer unknown, and no unknown one known otherwise.
  const unseen = compiled.condition.evaluate({...INPUT, request: null});
  hold(unseen === 'unknown' || truth === unseen, `${String(unseen)} without the request and ${String(truth)} with it`);
  if (blind.ok) hold(blind.condition.evaluate(INPUT) === truth, 'the same condition says two things');
  if (!APART.test(source)) {
    const theirs = libraryTruth(source);
    hold(truth === theirs, `${String(truth)}, and the library says ${String(theirs)}`);
  }
  return `${String(truth)} ${String(unseen)} ${compiled.condition.needsRequest} ${compiled.condition.needsHeaders} ${compiled.unguarded.length}`; // prettier-ignore
}

export const CEL: Target = {
  name: 'cel',
  reads: 'conditions (CEL)',
  covers: ['/policy/cel/'],
  dictionary: ['request', '.method', '.path', '.port', '.headers', '.query', '["x-n"]', '["tag"]', '["none"]', 'source.labels', 'tls.sni', 'destination.port', ' == ', ' != ', ' < ', ' >= ', ' in ', ' && ', ' || ', '!', '?', ':', '(', ')', '[', ']', '{', '}', ',', '"a"', '"beta"', "'GET'", 'r"a"', 'b"a"', '0', '1', '-1', '443', '9223372036854775807', '0x10', '1u', '1.5', 'true', 'false', 'null', '.size()', '.startsWith("a")', '.contains("a")', '.endsWith("")', '.matches("^a")', '.exists(x, x == "beta")', '.all(x, true)', '.exists_one(x, x != "")', '.map(x, x)', '.filter(x, x in ["a"])', 'has(request.headers.accept)', 'size(', 'string(', 'int(', 'type(', 'dyn(', '.substring(1)', '.upperAscii()', '.split(",")', '"\\u0041"', '"\\x41"', '//', '\n', '__proto__', 'constructor'], // prettier-ignore
  seeds: [
    'request.method == "GET" && request.headers["x-n"] == "7"',
    'request.query["tag"].exists(t, t == "beta") ? request.port > 1 : false',
    '"x-none" in request.headers || source.labels["app"].startsWith("w")',
    'size(request.query["tag"].map(t, t + "!")) == 2',
    '!has(request.headers.none) && int("7") % 2 == 1',
  ],
  maxBytes: 300,
  run,
};
