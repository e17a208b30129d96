import {describe, expect, test} from '@jest/globals';
import type {RawAction, RawPiece} from '../../format/case.ts';
import {readRaw} from './raw-http.ts';

const raw = (send: string | readonly RawPiece[], tls: RawAction['tls'] = null) =>
  readRaw({
    kind: 'raw',
    to: {host: 'a.test', port: 80},
    tls,
    send: typeof send === 'string' ? [{kind: 'bytes', latin1: send}] : send,
  });

describe('the requests in raw bytes', () => {
  test('one, with its query and headers', () => {
    expect(raw('GET /a?b HTTP/1.1\r\nHost: x\r\nX-A:  1 \r\n\r\n')).toMatchObject({
      kind: 'http',
      requests: [
        {method: 'GET', path: '/a', query: 'b', host: 'x', authority: null, headers: ['Host', 'x', 'X-A', '1']},
      ],
    });
  });

  test('two, over pieces and a body', () => {
    const pieces: RawPiece[] = [
      {kind: 'bytes', latin1: 'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nh'},
      {kind: 'sleep', seconds: 1},
      {kind: 'bytes', latin1: 'iGET /b HTTP/1.1\r\nHost: y\r\n\r\n'},
    ];
    expect(raw(pieces)).toMatchObject({kind: 'http', requests: [{path: '/a'}, {path: '/b', host: 'y'}]});
  });

  test.each([
    [
      'absolute-form',
      'GET http://y/a HTTP/1.1\r\nHost: x\r\n\r\n',
      {scheme: 'http', authority: 'y', path: '/a', host: 'x'},
    ],
    ['CONNECT', 'CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n', {authority: 'y:443', path: ''}],
    [
      'an upgrade',
      'GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n\x81\x00',
      {upgrade: ['websocket']},
    ],
  ])('%s', (_name, text, request) => {
    expect(raw(text)).toMatchObject({kind: 'http', requests: [request]});
  });

  test.each([
    ['bytes', '\x01\x02hello'],
    ['SSH', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['nothing', ''],
  ])('%s are opaque', (_name, text) => {
    expect(raw(text)).toEqual({kind: 'opaque'});
  });

  test.each([
    ['a control character in the target', 'GET /a\x01b HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    [
      'a length and chunks',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : x\r\n\r\n'],
    ['a folded line', 'GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n 2\r\n\r\n'],
    ['bare line feeds', 'GET / HTTP/1.1\nHost: x\n\n'],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n'],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
    ['half a head', 'GET / HTTP/1.1\r\nHost: x\r\n'],
    ['a ClientHello', '\x16\x03\x01\x00\x05hello'],
  ])('%s is for the codec to judge', (_name, text) => {
    expect(raw(text).kind).toBe('odd');
  });
});
