import {describe, expect, test} from '@jest/globals';
import type {RequestAction} from '../format/case.ts';
import {readCase} from '../format/read.ts';
import {curlCommand, readCurl} from './curl.ts';

function action(request: string): RequestAction {
  const world = readCase(
    'w.yaml',
    `name: w\nworkloads: {app: {}}\nservers: {a.test: {ports: {80: http}}}\nsteps: [{name: a, request: ${request}, expect: {status: 200}}]\n`,
  );
  return world.steps[0]!.action as RequestAction;
}
const place = {caFile: 'ca.pem', proxy: {host: '10.78.0.1', port: 15081}, literal: '5.6.7.8'};
const command = (request: string): string => curlCommand(action(request), place).argv.join(' ');

describe('a request as a curl command', () => {
  test.each([
    ['plain', '{url: "http://a.test/x?y"}', ['--http1.1', '--path-as-is', '-X GET', 'http://a.test/x?y']],
    ['HTTP/2 by ALPN', '{url: "https://a.test/", http: "2"}', ['--http2 ', 'https://a.test/']],
    ['HTTP/2 in the clear', '{url: "http://a.test/", http: "2"}', ['--http2-prior-knowledge']],
    ['HEAD, which has no body to wait for', '{url: "http://a.test/", method: HEAD}', ['--head']],
    ['another Host', '{url: "https://a.test/", host: "b.test:99"}', ['-H Host: b.test:99', 'https://a.test/']],
    [
      'another SNI: the URL names it, Host stays',
      '{url: "https://a.test:8443/x", sni: b.test}',
      ['--connect-to ::a.test:8443', '-H Host: a.test:8443', 'https://b.test:8443/x'],
    ],
    [
      'no SNI: the URL is the literal',
      '{url: "https://a.test/x", sni: ""}',
      ['--connect-to ::a.test:443', '-H Host: a.test', 'https://5.6.7.8:443/x'],
    ],
    [
      'another destination',
      '{url: "https://a.test/", connectTo: "[fd00::1]:444"}',
      ['--connect-to ::[fd00::1]:444', 'https://a.test/'],
    ],
    [
      'through the explicit port',
      '{url: "https://a.test/", via: explicit}',
      ['-x http://10.78.0.1:15081', 'https://a.test/'],
    ],
    [
      'a header with several values, and an empty one',
      '{url: "http://a.test/", headers: {x-a: [1, 2], x-b: ""}}',
      ['-H x-a: 1', '-H x-a: 2', '-H x-b;'],
    ],
  ])('%s', (_name, request, parts) => {
    for (const part of parts) expect(command(request)).toContain(part);
  });

  test('a body is sent as it is, without what curl would say of it', () => {
    const {argv, stdin} = curlCommand(action('{url: "http://a.test/", method: POST, bodyBytes: 3}'), place);
    expect(stdin?.toString()).toBe('xxx');
    expect(argv.join(' ')).toContain('-H Content-Type: -H Expect:');
  });
});

describe('what curl says', () => {
  const run = (status: number, facts: object, headers: object, said = '', stdout = '') => ({
    status,
    stdout,
    stderr: `${said}\n${JSON.stringify({http_code: 0, http_connect: 0, local_ip: '10.0.0.1', local_port: 4711, http_version: '0', ...facts})}\n${JSON.stringify(headers)}`,
    timedOut: false,
  });
  const get = action('{url: "http://a.test/"}');

  test('an answer, with the address that it was asked from', () => {
    const {answer, source, version} = readCurl(
      get,
      run(0, {http_code: 200, http_version: '2'}, {'x-a': ['1', '2']}, '', 'body'),
      true,
    );
    expect(answer).toEqual({kind: 'response', status: 200, headers: new Map([['x-a', ['1', '2']]]), body: 'body'});
    expect([source, version]).toEqual(['10.0.0.1:4711', '2']);
  });

  test.each([
    [7, 'could not connect'],
    [28, 'timed out'],
    [35, 'reset in the TLS handshake'],
    [52, 'closed without an answer'],
    [56, 'reset'],
  ])('exit %d is a refusal: %s', (code, how) => {
    const {answer} = readCurl(get, run(code, {}, {}, 'curl: why'), true);
    expect(answer.kind === 'refused' && answer.how).toContain(how);
  });

  test('a CONNECT that was refused is the answer', () => {
    expect(readCurl(get, run(56, {http_connect: 403}, {}), true).answer).toMatchObject({kind: 'response', status: 403});
  });

  test('a name that does not resolve is a refusal, but not where the world has it', () => {
    expect(readCurl(get, run(6, {}, {}), false).answer.kind).toBe('refused');
    expect(readCurl(get, run(6, {}, {}), true).answer.kind).toBe('failed');
  });

  test("a bad command is nobody's refusal", () => {
    expect(
      readCurl(get, {status: 2, stdout: '', stderr: 'curl: option --x: is unknown', timedOut: false}, true).answer,
    ).toEqual({kind: 'failed', why: 'curl: option --x: is unknown'});
  });
});
