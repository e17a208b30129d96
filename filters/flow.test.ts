import {describe, expect, test} from '@jest/globals';
import {makeFlow} from './flow.ts';
import type {FlowHeaders, ResponseFlow} from './types.ts';
import type {FilterRequest} from './contract.ts';

const request: FilterRequest = {
  id: 'id1',
  workload: {namespace: 'default', name: 'pod', labels: {app: 'a'}, serviceAccount: 'sa'},
  scheme: 'https',
  host: 'a.test',
  port: 443,
  method: 'GET',
  path: '/p',
  query: 'q=1',
  headers: ['Host', 'a.test', 'X-One', '1', 'x-two', '2', 'X-ONE', '3'],
};
const made = () => makeFlow(request, null);

describe('the headers of a flow', () => {
  const cases: [string, (headers: FlowHeaders) => void, string[] | null][] = [
    ['are unchanged where nothing wrote', (headers) => void headers.get('x-one'), null],
    [
      'set replaces all lines in the place of the first',
      (headers) => headers.set('x-one', 'n'),
      ['Host', 'a.test', 'X-One', 'n', 'x-two', '2'],
    ],
    [
      'set adds a line where there was none',
      (headers) => headers.set('X-New', 'n'),
      [...request.headers, 'X-New', 'n'],
    ],
    ['add keeps what is there', (headers) => headers.add('x-two', 'n'), [...request.headers, 'x-two', 'n']],
    [
      'delete removes every line in any letter case',
      (headers) => headers.delete('x-ONE'),
      ['Host', 'a.test', 'x-two', '2'],
    ],
    [
      'an empty value is one',
      (headers) => headers.set('x-two', ''),
      ['Host', 'a.test', 'X-One', '1', 'x-two', '', 'X-ONE', '3'],
    ],
  ];
  test.each(cases)('%s', (_name, change, expected) => {
    const {flow, outcome} = made();
    change(flow.request.headers);
    expect(outcome().headers).toEqual(expected);
    expect(request.headers).toHaveLength(8);
  });

  test('are read without letter case, joined or line by line, and in order', () => {
    const {headers} = made().flow.request;
    expect([headers.get('x-one'), headers.get('none'), headers.has('HOST'), headers.has('none')]).toEqual([
      '1, 3',
      null,
      true,
      false,
    ]);
    expect(headers.getAll('X-one')).toEqual(['1', '3']);
    expect([...headers].map(([name]) => name)).toEqual(['Host', 'X-One', 'x-two', 'X-ONE']);
  });

  const refused: [string, string, string][] = [
    ['Host', 'host', 'evil.test'],
    ['the length', 'Content-Length', '0'],
    ['the coding', 'TRANSFER-ENCODING', 'chunked'],
    ['the connection', 'Connection', 'x-secret'],
    ['an upgrade', 'upgrade', 'h2c'],
    ['credentials for a proxy', 'Proxy-Authorization', 'x'],
    ['a pseudo header', ':authority', 'evil.test'],
    ['a name with a space', 'x y', '1'],
    ['no name', '', '1'],
    ['a second line', 'x-a', '1\r\nHost: evil.test'],
    ['a bare newline', 'x-a', '1\n2'],
    ['a NUL', 'x-a', '\0'],
    ['white space around', 'x-a', ' 1'],
    ['what is not Latin-1', 'x-a', '\u{1F600}'],
  ];
  test.each(refused)('%s cannot be written', (_what, name, value) => {
    const {flow, outcome} = made();
    expect(() => flow.request.headers.set(name, value)).toThrow(TypeError);
    expect(() => flow.request.headers.add(name, value)).toThrow(TypeError);
    expect(outcome().headers).toBeNull();
  });

  test('Host cannot be deleted, and the message says why', () => {
    expect(() => made().flow.request.headers.delete('host')).toThrow(
      'Host, framing and hop-by-hop fields cannot be changed',
    );
  });
});

describe('a flow', () => {
  test('shows the request and the workload, and lets nobody write over them', () => {
    const {flow} = made();
    expect(flow.request).toMatchObject({
      method: 'GET',
      scheme: 'https',
      host: 'a.test',
      port: 443,
      path: '/p',
      query: 'q=1',
    });
    expect(flow.workload).toEqual(request.workload);
    for (const change of [
      () => ((flow.request as {path: string}).path = '/other'),
      () => ((flow.workload.labels as Record<string, string>)['app'] = 'b'),
      () => ((flow as {id: string}).id = 'x'),
    ])
      expect(change).toThrow(TypeError);
  });

  test('of a response writes the response headers, and the request is for reading', () => {
    const {flow, outcome} = makeFlow(request, {status: 200, headers: ['Server', 'x', 'A', 'b']});
    expect((flow as ResponseFlow).response.status).toBe(200);
    (flow as ResponseFlow).response.headers.delete('server');
    expect(outcome().headers).toEqual(['A', 'b']);
    expect(() => flow.request.headers.set('x-a', '1')).toThrow('sent already');
  });

  test('is answered once, text/plain unless it says otherwise', () => {
    const {flow, outcome, answered} = made();
    flow.respond({status: 418, body: 'no', headers: {'x-a': ['1', '2']}});
    expect(answered()).toBe(true);
    expect(outcome().answer).toEqual({
      status: 418,
      headers: ['x-a', '1', 'x-a', '2', 'content-type', 'text/plain; charset=utf-8'],
      body: 'no',
    });
    expect(() => flow.respond({status: 200})).toThrow('answered already');
    const other = made();
    other.flow.respond({status: 200, headers: {'Content-Type': 'text/html'}});
    expect(other.outcome().answer?.headers).toEqual(['Content-Type', 'text/html']);
  });

  test.each([
    ['status 101', {status: 101}],
    ['status 600', {status: 600}],
    ['half a status', {status: 200.5}],
    ['a body that is no text', {status: 200, body: 7 as unknown as string}],
    ['a body over the limit', {status: 200, body: 'x'.repeat(300_000)}],
    ['a framing header', {status: 200, headers: {'Content-Length': '5'}}],
    ['a header that splits', {status: 200, headers: {a: 'b\r\nc: d'}}],
  ])('is not answered with %s', (_what, answer) => {
    const {flow, answered} = made();
    expect(() => flow.respond(answer)).toThrow();
    expect(answered()).toBe(false);
  });
});
