import {describe, expect, test} from '@jest/globals';
import {readResponses} from './responses.ts';

const read = (text: string, methods: string[] = [], ended = false) =>
  readResponses(Buffer.from(text, 'latin1'), methods, ended);
const statuses = (text: string, methods: string[] = [], ended = false) =>
  read(text, methods, ended).whole.map(({status}) => status);

describe('responses off a byte stream', () => {
  test.each<[string, string, string[], boolean, number[]]>([
    [
      'two with lengths',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n',
      [],
      false,
      [200, 404],
    ],
    ['one whose body has not come', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi', [], false, []],
    [
      'interim ones are left out',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      [],
      false,
      [200],
    ],
    ['101 is final', 'HTTP/1.1 101 Switching\r\n\r\n\x81\x05hello', [], false, [101]],
    [
      'the answer to HEAD has no body',
      'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n',
      ['HEAD', 'GET'],
      false,
      [200, 404],
    ],
    ['204 has no body', 'HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', [], false, [204, 200]],
    [
      'chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n',
      [],
      false,
      [200, 404],
    ],
    [
      'chunks that have not all come',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n',
      [],
      false,
      [],
    ],
    ['no length, and the connection is open', 'HTTP/1.1 200 OK\r\n\r\nhi', [], false, []],
    ['no length, and it has ended', 'HTTP/1.1 200 OK\r\n\r\nhi', [], true, [200]],
    ['no HTTP', '220 ready\r\n\r\n', [], true, []],
  ])('%s', (_name, text, methods, ended, found) => {
    expect(statuses(text, methods, ended)).toEqual(found);
  });

  test('a body and its headers are given', () => {
    const [first] = read('HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nhi').whole;
    expect(first).toMatchObject({
      body: 'hi',
      headers: new Map([
        ['x-a', ['1', '2']],
        ['content-length', ['2']],
      ]),
    });
  });

  test('one whose body is cut short is known by its head', () => {
    expect(read('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi', [], true).partial).toMatchObject({status: 200});
  });
});
