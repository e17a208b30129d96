/** Random policies as documents to load, and random requests as steps of a conformance case: for targets with sockets. */
import fc from 'fast-check';
import {stringify} from 'yaml';
import {loadDocuments, type PolicyDocument, type RuleDocument} from '../../policy/index.ts';
import {documentsText} from '../conformance/documents.ts';
import type {Case, DocumentValue, Step} from '../conformance/format/case.ts';
import {readCase} from '../conformance/format/read.ts';
import {policyOf} from '../reference/arbitraries.ts';

/** The names of arbitraries.ts that can have servers, at addresses that their rules speak of. */
const SERVERS = {
  'a.test': '203.0.113.1',
  'b.a.test': '203.0.113.2',
  'c.b.a.test': '10.1.2.3',
  'z.test': '169.254.8.8',
} as const;
const PORTS = {443: 'https', 80: 'http', 8080: 'http'} as const;

interface Round {
  readonly documents: readonly DocumentValue[];
  readonly requests: readonly object[];
}

/** Always the same three objects, so that each round replaces those of the one before. */
const documents = fc
  .tuple(policyOf('c'), policyOf('a'), policyOf('b'))
  .map(([c, a, b]) => [
    asDocument({...c, kind: 'ClusterEgressPolicy', namespace: null}),
    ...[a, b].map((one) => asDocument({...one, kind: 'EgressPolicy', namespace: 'shop'})),
  ])
  .filter((all) => {
    const {findings} = loadDocuments([{file: 'generated.yaml', text: documentsText(all)}]);
    return findings.every(({severity}) => severity !== 'error');
  });

const request = fc
  .record({
    name: fc.constantFrom(...Object.keys(SERVERS)),
    place: fc.constantFrom('https', 'https', 'http', 'http', 'http:8080', 'https:443'),
    method: fc.constantFrom('GET', 'GET', 'PUT', 'DELETE'),
    path: fc.constantFrom('/', '/a', '/a/b', '/A/b', '/a//b', '/a%2Fb', '/a/../b', '/b/x', '/b;x/c', '/a%00'),
    query: fc.constantFrom('', '', '?q=1', '?q=1&q=2', '?q=1;q=2'),
    lines: fc.uniqueArray(fc.constantFrom('1', '2', '1, 2'), {maxLength: 2}),
    override: fc.constantFrom(null, null, null, null, 'DELETE'),
    host: fc.constantFrom(null, null, null, null, null, 'z.test', 'A.TEST.'),
    http: fc.constantFrom('1.1', '1.1', '2'),
  })
  .map(({name, place, method, path, query, lines, override, host, http}) => {
    const [scheme, port] = place.split(':') as [string, string?];
    const headers = {
      ...(lines.length === 0 ? {} : {'x-e': lines}),
      ...(override === null ? {} : {'x-http-method-override': override}),
    };
    return {
      method,
      url: `${scheme}://${name}${port === undefined ? '' : `:${port}`}${path}${query}`,
      headers,
      ...(method === 'PUT' ? {body: 'x'} : {}),
      ...(host === null ? {} : {host}),
      // curl speaks HTTP/2 inside TLS only.
      ...(http === '2' && scheme === 'https' ? {http} : {}),
    };
  });

/** In force until the first round replaces it. */
const BEFORE = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'a', namespace: 'shop'},
  spec: {podSelector: {}, rules: [{name: 'nothing', to: {hosts: ['nothing.test']}}]},
};

/** One world with so many changes of policy, and requests after each. */
export function randomCase(seed: number, rounds: number, requests: number): Case {
  const round: fc.Arbitrary<Round> = fc.record({
    documents,
    requests: fc.array(request, {minLength: requests, maxLength: requests}),
  });
  const drawn = fc.sample(round, {seed, numRuns: rounds});
  const text = stringify({
    name: 'random',
    policies: [BEFORE],
    workloads: {
      web: {namespace: 'shop', labels: {app: 'web'}, serviceAccount: 'default'},
      db: {namespace: 'shop', labels: {app: 'db'}, serviceAccount: 'robot'},
    },
    namespaces: {shop: {labels: {team: 'a'}}},
    servers: Object.fromEntries(Object.entries(SERVERS).map(([name, address]) => [name, {address, ports: PORTS}])),
    steps: drawn.flatMap(({documents: apply, requests: asked}, n) => [
      {name: `policies ${n}`, apply},
      ...asked.map((one, i) => ({
        name: `request ${n}.${i}`,
        from: i % 4 === 3 ? 'db' : 'web',
        request: one,
        expect: {verdict: 'allow'},
      })),
    ]),
  });
  return readCase('random.yaml', text);
}

/** What a step asks, to show beside a difference. */
export const shown = ({action}: Step): string => JSON.stringify(action);

function asDocument({
  kind,
  name,
  namespace,
  podSelector,
  namespaceSelector,
  serviceAccounts,
  mode,
  rules,
  deny,
}: PolicyDocument): DocumentValue {
  const cluster = kind === 'ClusterEgressPolicy';
  // Of one form in a namespace, of the other in the cluster.
  const accounts = serviceAccounts.filter((one) => one.includes('/') === cluster);
  return {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind,
    metadata: {name, ...(namespace === null ? {} : {namespace})},
    spec: {
      podSelector,
      ...(cluster ? {namespaceSelector} : {}),
      ...(accounts.length === 0 ? {} : {serviceAccounts: accounts}),
      mode,
      rules: rules.map(asRule),
      ...(deny === null ? {} : {deny: {status: deny.status, contentType: 'text/plain', body: deny.body}}),
    },
  };
}

function asRule({name, action, to, http, when, request: changes}: RuleDocument): object {
  const filled = (value: object): boolean =>
    Object.values(value).some((one) => one !== null && Object.keys(one as object).length > 0);
  const web =
    http === null
      ? {}
      : Object.fromEntries(Object.entries(http).filter(([, value]) => value !== null && Object.keys(value).length > 0));
  return {
    name,
    action,
    to: {
      ...(to.hosts.length === 0 ? {} : {hosts: to.hosts}),
      ...(to.cidrs.length === 0 ? {} : {cidrs: to.cidrs}),
      ...(to.schemes === null ? {} : {schemes: to.schemes}),
      ...(to.ports === null
        ? {}
        : {ports: to.ports.map(({from, to: last}) => (from === last ? from : `${from}-${last}`))}),
    },
    ...(Object.keys(web).length === 0 ? {} : {http: web}),
    ...(when === null ? {} : {when}),
    ...(filled(changes) ? {request: changes} : {}),
  };
}
