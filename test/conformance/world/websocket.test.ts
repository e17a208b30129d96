import {expect, test} from '@jest/globals';
import {acceptKey, echoFrames} from './websocket.ts';

test('the key of RFC 6455 1.3', () => {
  expect(acceptKey('dGhlIHNhbXBsZSBub25jZQ==')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
});

test('a masked frame comes back unmasked, a ping as a pong, a close ends it', () => {
  const hello = Buffer.from(
    '\x81\x85\x01\x02\x03\x04' +
      'hello'
        .split('')
        .map((c, i) => String.fromCharCode(c.charCodeAt(0) ^ ((i % 4) + 1)))
        .join(''),
    'latin1',
  );
  const ping = Buffer.from('\x89\x80\0\0\0\0', 'latin1');
  const close = Buffer.from('\x88\x80\0\0\0\0', 'latin1');
  const {replies, rest, closed} = echoFrames(Buffer.concat([hello, ping, close]));
  expect(replies.map((reply) => reply.toString('latin1'))).toEqual(['\x81\x05hello', '\x8a\x00', '\x88\x00']);
  expect(rest).toHaveLength(0);
  expect(closed).toBe(true);
});

test.each([126, 65535, 65536])('a frame of %d bytes, cut anywhere, waits for its end', (length) => {
  const head =
    length < 65536
      ? Buffer.from([0x82, 126, length >> 8, length & 255])
      : Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
  const frame = Buffer.concat([head, Buffer.alloc(length, 'x')]);
  for (const cut of [1, 3, head.length, frame.length - 1])
    expect(echoFrames(frame.subarray(0, cut)).replies).toEqual([]);
  expect(echoFrames(frame).replies[0]).toEqual(frame);
});
