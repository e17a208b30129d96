import {expect, test} from '@jest/globals';
import fc from 'fast-check';
import {FrameReader, MAX_FRAME_BYTES, encodeFrame, frameWriter} from './wire.ts';

const frame = (text: string) => encodeFrame({kind: 'loading', file: text});

test('frames come out as they went in, however the bytes were cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({unit: 'binary', maxLength: 60})),
      fc.array(fc.integer({min: 1, max: 50}), {minLength: 1}),
      (texts, sizes) => {
        const bytes = Buffer.concat(texts.map(frame));
        const reader = new FrameReader();
        const seen: unknown[] = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length]!;
          seen.push(...reader.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(seen).toEqual(texts.map((file) => ({kind: 'loading', file})));
      },
    ),
  );
});

test('a frame over the limit is an error before its bytes are held', () => {
  const header = Buffer.alloc(4);
  header.writeUInt32LE(MAX_FRAME_BYTES + 1);
  expect(() => [...new FrameReader().push(header)]).toThrow(RangeError);
});

test('what is no JSON is an error', () => {
  expect(() => [...new FrameReader().push(Buffer.from('\x01\0\0\0{'))]).toThrow(SyntaxError);
});

test('the frames of one turn leave in one write', async () => {
  const said: string[] = [];
  const write = frameWriter({
    cork: () => said.push('cork'),
    uncork: () => said.push('uncork'),
    write: () => said.push('write') > 0,
  });
  write(frame('a'));
  write(frame('b'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(said).toEqual(['cork', 'write', 'write', 'uncork']);
});
