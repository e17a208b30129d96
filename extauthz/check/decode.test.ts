import {create, fromBinary, toBinary, type MessageInitShape} from '@bufbuild/protobuf';
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {canonicalAddress} from '../../policy/index.ts';
import {CheckRequestSchema, type CheckRequest} from '../gen/envoy/service/auth/v3/external_auth_pb.js';
import type {AttributeContext_Peer} from '../gen/envoy/service/auth/v3/attribute_context_pb.js';
import {question} from '../testing/asking.ts';
import {readCheck} from './decode.ts';
import {fieldsOfLines, fieldsOfMap} from './fields.ts';
import type {Attributes} from './attributes.ts';

/** The same by the library's messages. */
function byLibrary(message: CheckRequest): Attributes {
  const {attributes} = message;
  const told = (text: string | undefined): string | null => (text === undefined || text === '' ? null : text);
  const latin1 = (text: string): string => Buffer.from(text).toString('latin1');
  const peer = (of: AttributeContext_Peer | undefined) => {
    const address = of?.address?.address;
    const socket = address?.case === 'socketAddress' ? address.value : null;
    const text = socket?.address ?? '';
    return {
      ip:
        socket === null
          ? null
          : canonicalAddress(text.startsWith('::ffff:') && text.includes('.') ? text.slice(7) : text),
      port: socket?.portSpecifier.case === 'portValue' ? socket.portSpecifier.value : null,
      principal: told(of?.principal),
    };
  };
  const http = attributes?.request?.http;
  const raw = http?.headerMap?.headers ?? [];
  const fields =
    raw.length > 0
      ? fieldsOfLines(
          raw.flatMap(({key, value, rawValue}) => [
            key,
            rawValue.length > 0 ? Buffer.from(rawValue).toString('latin1') : latin1(value),
          ]),
        )
      : fieldsOfMap(new Map(Object.entries(http?.headers ?? {}).map(([key, value]) => [key, latin1(value)])));
  return {
    source: peer(attributes?.source),
    destination: peer(attributes?.destination),
    sni: told(attributes?.tlsSession?.sni) ?? (http === undefined ? told(attributes?.destination?.service) : null),
    http:
      http === undefined
        ? null
        : {
            method: http.method,
            protocol: told(http.protocol),
            scheme: told(http.scheme),
            host: told(http.host),
            path: fields.path ?? http.path,
            fields,
          },
    extensions: attributes?.contextExtensions ?? {},
  };
}

/** Fields of a map come in any order. */
function sorted(attributes: Attributes): unknown {
  const lines = attributes.http?.fields.lines ?? [];
  const pairs = Array.from({length: lines.length / 2}, (_v, i) => `${lines[2 * i]}: ${lines[2 * i + 1]}`);
  return {
    ...attributes,
    extensions: {...attributes.extensions},
    http:
      attributes.http === null
        ? null
        : {
            ...attributes.http,
            fields: {
              ...attributes.http.fields,
              lines: attributes.http.fields.joined ? pairs.sort() : pairs,
              joined: pairs.length > 0 && attributes.http.fields.joined,
            },
          },
  };
}

const word = fc.oneof(
  fc.string({maxLength: 8}),
  fc.string({maxLength: 4, unit: 'grapheme'}),
  fc.constantFrom('', ':path', 'host', '10.0.0.1', '::ffff:10.0.0.1', 'FD00::1'),
);
const bytes = fc.uint8Array({maxLength: 6});
const address = fc.oneof(
  fc.record({
    case: fc.constant('socketAddress' as const),
    value: fc.record({
      address: word,
      resolverName: word,
      ipv4Compat: fc.boolean(),
      portSpecifier: fc.oneof(
        fc.record({case: fc.constant('portValue' as const), value: fc.nat({max: 0xffff_ffff})}),
        fc.record({case: fc.constant('namedPort' as const), value: word}),
        fc.constant({case: undefined}),
      ),
    }),
  }),
  fc.record({case: fc.constant('pipe' as const), value: fc.record({path: word})}),
  fc.record({case: fc.constant('envoyInternalAddress' as const), value: fc.record({endpointId: word})}),
);
const peer = fc.record(
  {
    address: fc.record({address}),
    service: word,
    principal: word,
    certificate: word,
    labels: fc.dictionary(word, word, {noNullPrototype: true}),
  },
  {requiredKeys: []},
);
const http = fc.record(
  {
    id: word,
    method: word,
    path: word,
    host: word,
    scheme: word,
    query: word,
    fragment: word,
    size: fc.bigInt({min: -(2n ** 63n), max: 2n ** 63n - 1n}),
    protocol: word,
    body: word,
    rawBody: bytes,
    headers: fc.dictionary(
      word.filter((key) => key !== '__proto__'),
      word,
      {noNullPrototype: true},
    ),
    headerMap: fc.record({headers: fc.array(fc.record({key: word, value: word, rawValue: bytes}), {maxLength: 4})}),
  },
  {requiredKeys: []},
);
const message = fc.record(
  {
    source: peer,
    destination: peer,
    request: fc.record(
      {http, time: fc.record({seconds: fc.bigInt({min: 0n, max: 2n ** 40n}), nanos: fc.nat()})},
      {requiredKeys: []},
    ),
    contextExtensions: fc.dictionary(
      word.filter((key) => key !== '__proto__'),
      word,
      {noNullPrototype: true},
    ),
    tlsSession: fc.record({sni: word}),
    metadataContext: fc.record({
      filterMetadata: fc.dictionary(
        word.filter((key) => key !== '__proto__'),
        fc.constant({a: {b: [1, null]}}),
      ),
    }),
  },
  {requiredKeys: []},
) as fc.Arbitrary<MessageInitShape<typeof CheckRequestSchema>['attributes']>;

describe('decoding by hand', () => {
  test('reads what the library reads', () => {
    fc.assert(
      fc.property(message, (attributes) => {
        const whole = create(CheckRequestSchema, {attributes});
        expect(sorted(readCheck(toBinary(CheckRequestSchema, whole)))).toEqual(sorted(byLibrary(whole)));
      }),
      {numRuns: 500},
    );
  });

  test('reads two messages of one field as one, as the library does', () => {
    fc.assert(
      fc.property(message, message, (first, second) => {
        const both = Buffer.concat(
          [first, second].map((attributes) => toBinary(CheckRequestSchema, create(CheckRequestSchema, {attributes}))),
        );
        expect(sorted(readCheck(both))).toEqual(sorted(byLibrary(fromBinary(CheckRequestSchema, both))));
      }),
      {numRuns: 200},
    );
  });

  test('reads nothing else out of bytes that the library reads too', () => {
    const good = question({
      headers: {a: 'b,c'},
      raw: [['x', 'y']],
      sni: 'a.test',
      extensions: {k: 'v'},
      principal: 'p',
    });
    const read = <T>(run: () => T): T | null => {
      try {
        return run();
      } catch {
        return null;
      }
    };
    let compared = 0;
    fc.assert(
      fc.property(fc.nat({max: good.length - 1}), fc.nat({max: 255}), (at, byte) => {
        const changed = Uint8Array.from(good);
        changed[at] = byte;
        const theirs = read(() => fromBinary(CheckRequestSchema, changed));
        // The library takes a known field of another wire type for what it should have been; only what it would write is compared.
        if (theirs === null || Buffer.compare(toBinary(CheckRequestSchema, theirs), changed) !== 0) return;
        // We refuse more: groups, which the library keeps.
        const ours = read(() => readCheck(changed));
        if (ours === null) return;
        compared++;
        expect(sorted(ours)).toEqual(sorted(byLibrary(theirs)));
      }),
      {numRuns: 1_000},
    );
    expect(compared).toBeGreaterThan(100);
  });

  test.each([
    ['a length beyond the end', [0x0a, 0x05, 0x00]],
    ['a length beyond its message', [0x0a, 0x02, 0x0a, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00]],
    ['a varint without an end', [0x08, 0xff, 0xff, 0xff]],
    ['a varint of eleven bytes', [0x08, ...Array.from({length: 11}, () => 0xff), 0x01]],
    ['field number 0', [0x02, 0x00]],
    ['a group', [0x0b, 0x0c]],
    ['a fixed value beyond the end', [0x09, 0x00]],
  ])('%s is no message', (_, wrong) => expect(() => readCheck(Uint8Array.from(wrong))).toThrow(RangeError));
});
