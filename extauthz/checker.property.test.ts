import {create, toBinary} from '@bufbuild/protobuf';
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {CheckRequestSchema} from './gen/envoy/service/auth/v3/external_auth_pb.js';
import {envoyBefore, letsThrough, question, SITE, type Question} from './testing/asking.ts';

const RULES = `
  - name: web
    to: {hosts: [${SITE}], schemes: [http, https]}
    request: {set: {x-set: s}, add: {x-add: a}}
  - name: sealed
    to: {hosts: [a.site.test], schemes: [tls]}
  - name: path
    to: {hosts: ["*.site.test"], schemes: [http, https]}
    http: {paths: ["/a/**"], headers: {x-team: "a*"}}
  - name: no
    action: Deny
    to: {hosts: [no.site.test]}
`;
const envoy = envoyBefore({policy: RULES, zone: {[SITE]: ['203.0.113.9'], 'a.site.test': ['203.0.113.9']}});

const text = fc.oneof(
  fc.string({maxLength: 12, unit: 'binary'}),
  fc.constantFrom(
    '',
    SITE,
    'a.site.test',
    'no.site.test',
    `${SITE}:443`,
    '[::1]:80',
    'a@b',
    '*',
    '/a/x',
    '/a/..%2f',
    'GET',
    'CONNECT',
  ),
);
const attributes = fc.record(
  {
    method: text,
    host: text,
    path: text,
    protocol: fc.oneof(text, fc.constantFrom('HTTP/1.0', 'HTTP/1.1', 'HTTP/2', 'HTTP/3')),
    scheme: fc.oneof(text, fc.constantFrom('http', 'https')),
    headers: fc.dictionary(
      fc.oneof(
        text,
        fc.constantFrom('host', 'upgrade', 'content-type', 'x-team', 'x-original-url', ':path', '__proto__'),
      ),
      fc.string({unit: 'binary', maxLength: 20}),
      {maxKeys: 5},
    ),
    raw: fc.array(fc.tuple(text, text), {maxLength: 5}),
    network: fc.constant(true as const),
    source: fc.oneof(fc.constantFrom('10.244.0.7', null), text),
    principal: fc.oneof(text, fc.constantFrom('spiffe://c/ns/default/sa/default')),
    ip: fc.oneof(fc.constantFrom('203.0.113.9', '127.0.0.1', '::ffff:7f00:1', null), text),
    port: fc.nat({max: 0xffff_ffff}),
    sni: text,
    service: text,
    extensions: fc.dictionary(
      fc.oneof(
        fc.constantFrom(
          'sallyport-dials',
          'sallyport-scheme',
          'sallyport-port',
          'sallyport-via',
          'sallyport-namespace',
        ),
        text,
      ),
      fc.oneof(text, fc.constantFrom('name', 'address', 'http', 'https', 'tls', '443', '*')),
    ),
  },
  {requiredKeys: []},
) as fc.Arbitrary<Question>;

describe('whatever is asked, there is one answer with a status, and an allow is only what the policy allowed:', () => {
  const holds = (message: Uint8Array): void => {
    const answered = envoy.ask(message);
    expect(answered.response.status).toBeDefined();
    expect(letsThrough(answered)).toBe(answered.decision.verdict === 'allow');
    if (!letsThrough(answered)) {
      expect(answered.response.httpResponse.case).toBe('deniedResponse');
      return;
    }
    // Allowed by a rule, for the pod, at an address that the name has.
    expect(answered.decision.reason).toBe('RuleAllowed');
    expect(answered.request.workload).toMatchObject({name: 'app-1'});
    expect(answered.decision.dial).toEqual(['203.0.113.9']);
  };

  test('any attributes', () => {
    fc.assert(
      fc.property(attributes, (asked) => holds(question(asked))),
      {numRuns: 500},
    );
  });

  test('any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({maxLength: 200}), (bytes) => holds(bytes)),
      {numRuns: 500},
    );
  });

  test('a question with bytes changed, cut out or cut off', () => {
    const good = question({path: '/a/x', headers: {'x-team': 'abc'}, sni: SITE, port: 443});
    fc.assert(
      fc.property(fc.nat({max: good.length - 1}), fc.nat({max: 8}), fc.nat({max: 255}), (at, length, byte) => {
        const changed = Uint8Array.from(good);
        changed[at] = byte;
        holds(changed);
        holds(good.slice(0, at));
        holds(Uint8Array.from([...good.slice(0, at), ...good.slice(at + length)]));
      }),
      {numRuns: 150},
    );
  });

  test('a message that says nothing at all', () => {
    holds(new Uint8Array());
    holds(toBinary(CheckRequestSchema, create(CheckRequestSchema, {attributes: {}})));
  });

  test('a field that we do not know is no reason to allow', () => {
    // Field 1000 of CheckRequest and of its attributes.
    holds(Uint8Array.from([0xc2, 0x3e, 0x02, 0x68, 0x69]));
    holds(Uint8Array.from([0x0a, 0x05, 0xc2, 0x3e, 0x02, 0x68, 0x69]));
  });
});
