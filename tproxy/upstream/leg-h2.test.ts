/** An HTTP/2 leg over a stream of the test's own: what node:http2 does when it reads in the middle of other work. */
import {Duplex} from 'node:stream';
import type {Socket} from 'node:net';
import {expect, test} from '@jest/globals';
import {answer, data, FrameReader, FLAG, frame, headers, settings, TYPE} from '../../test/limits/frames.ts';
import type {Carried} from './carry.ts';
import {H2Leg} from './leg-h2.ts';
import {request, route} from './testing/harness.ts';

/** A server of raw frames behind a Duplex: what it answers is read inside of a JavaScript call, all of it in one. */
class Wire extends Duplex {
  readonly #reader = new FrameReader();
  readonly #answerTo: (stream: number) => Buffer;
  #preface = true;

  constructor(answerTo: (stream: number) => Buffer) {
    super();
    this.#answerTo = answerTo;
    this.push(settings());
  }

  override _read(): void {
    // Pushed as it is asked for.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const bytes = this.#preface ? chunk.subarray(24) : chunk;
    this.#preface = false;
    const answers = this.#reader
      .feed(bytes)
      .filter((one) => one.type === TYPE.headers)
      .map((one) => this.#answerTo(one.stream));
    done();
    // Not in the middle of node:http2's own write.
    if (answers.length > 0) setImmediate(() => this.push(Buffer.concat(answers)));
  }
}

const PLACE = {address: '192.0.2.1', peer: '192.0.2.1:443', proxy: null, where: 'a.test:443', wantsCertificate: false};

/** What was said of one request, in order. */
function carry(wire: Wire): Promise<string[]> {
  const leg = new H2Leg(
    wire as unknown as Socket,
    PLACE,
    () => undefined,
    () => 0,
  );
  return new Promise((resolve) => {
    const said: string[] = [];
    const over = (what: string): void => {
      said.push(what);
      leg.destroy();
      resolve(said);
    };
    const carried: Carried = {
      informational: (status) => void said.push(`informational ${status}`),
      head: (status, _headers, bytes) => void said.push(`head ${status} ${bytes}`),
      body: (chunk) => said.push(`body ${chunk.toString()}`) > 0,
      ended: (trailers) => over(`ended ${trailers.join(' ')}`),
      upgraded: () => over('upgraded'),
      drain: () => undefined,
      lost: (loss) => over(`lost ${loss.failure.reason}`),
    };
    leg.carry(route(443), request({client: 'h2'}), carried, false);
  });
}

test.each([
  [
    'head, body and end',
    (id: number) => [headers(id, answer(200), false), data(id, Buffer.from('whole'), true)],
    ['head 200 null', 'body whole', 'ended '],
  ],
  [
    'a length that holds',
    (id: number) => [headers(id, answer(200, [['content-length', '5']]), false), data(id, Buffer.from('whole'), true)],
    ['head 200 5', 'body whole', 'ended '],
  ],
  [
    'an interim response first',
    (id: number) => [
      headers(id, answer(103), false),
      headers(id, answer(200), false),
      data(id, Buffer.from('wh')),
      data(id, Buffer.from('ole'), true),
    ],
    ['informational 103', 'head 200 null', 'body wh', 'body ole', 'ended '],
  ],
  [
    'trailers at the end',
    (id: number) => [
      headers(id, answer(200), false),
      data(id, Buffer.from('whole')),
      frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, id, Buffer.from([0, 1, 0x78, 1, 0x79])),
    ],
    ['head 200 null', 'body whole', 'ended x y'],
  ],
])('an answer that is read all at once is told in its order: %s', async (_, answerTo, said) => {
  expect(await carry(new Wire((id) => Buffer.concat(answerTo(id))))).toEqual(said);
});
