import {once} from 'node:events';
import {connect, constants} from 'node:http2';
import {expect, test} from '@jest/globals';
import {question, SITE} from '../testing/asking.ts';
import {CHECK_PATH, serve} from '../testing/serving.ts';

/** More than Node lets a connection reset before it ends it (1000, and 33 a second). */
const RESETS = 3000;
const AT_ONCE = 100;

test('questions that Envoy takes back, because clients went away, do not end the connection of all the others', async () => {
  const {listener} = await serve({policy: `\n  - {name: web, to: {hosts: [${SITE}], schemes: [http]}}\n`});
  const session = connect(`http://127.0.0.1:${listener.port}`);
  try {
    const ended: string[] = [];
    session.on('goaway', (code) => ended.push(`GOAWAY ${code}`));
    session.on('error', (error) => ended.push(String(error)));
    const message = Buffer.from(question({}));
    const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
    const head = {
      ':method': 'POST',
      ':path': CHECK_PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
    };
    for (let sent = 0; sent < RESETS && ended.length === 0; sent += AT_ONCE)
      await Promise.all(
        Array.from({length: AT_ONCE}, async () => {
          const stream = session.request(head);
          stream.on('error', () => undefined);
          stream.write(frame);
          stream.close(constants.NGHTTP2_CANCEL);
          await once(stream, 'close');
        }),
      );
    expect(ended).toEqual([]);
    const stream = session.request(head);
    stream.end(frame);
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    expect(headers[':status']).toBe(200);
  } finally {
    session.destroy();
    listener.close();
  }
});
