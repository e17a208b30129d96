import {once} from 'node:events';
import {readdirSync, readlinkSync} from 'node:fs';
import {connect, createServer, type AddressInfo, type Server, type Socket} from 'node:net';
import {afterEach, beforeEach, expect, test} from '@jest/globals';
import {fdOf, reset} from './sockets.ts';

let server: Server;
let client: Socket;
let socket: Socket;
/** What the client sees of the end. */
let seen: Promise<string>;
/** Not events.once(), which an error ends. */
const closing = (): Promise<unknown> => new Promise((resolve) => socket.once('close', resolve));
/** The kernel's sockets that this process holds. */
const held = (): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });

beforeEach(async () => {
  server = createServer({allowHalfOpen: true}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => undefined);
  seen = new Promise((resolve) => {
    client.once('end', () => resolve('an end'));
    client.once('error', ({code}: NodeJS.ErrnoException) => resolve(String(code)));
  });
  client.resume();
  [socket] = (await accepted) as [Socket];
  socket.on('error', () => undefined);
});
afterEach(() => {
  client.destroy();
  socket.destroy();
  server.close();
});

test.each([
  ['nothing was said', () => undefined],
  ['something was said', () => socket.write('half of it')],
])('where %s the other side sees a reset, and no end', async (_what, say) => {
  say();
  const closed = closing();
  reset(socket);
  expect(await seen).toBe('ECONNRESET');
  await closed;
});

test.each([
  ['alone', () => socket.end()],
  ['behind the last bytes', () => socket.end('all of it')],
])('where an end is just on its way, %s, the socket is closed all the same', async (_what, end) => {
  const closed = closing();
  const kernels = readlinkSync(`/proc/self/fd/${fdOf(socket)}`);
  expect(held()).toContain(kernels);
  end();
  reset(socket);
  await closed;
  expect(held()).not.toContain(kernels);
  await seen;
});

test('a second time nothing happens, nor to what is closed', async () => {
  const closes: unknown[] = [];
  socket.on('close', () => closes.push('close'));
  const closed = closing();
  socket.end();
  reset(socket);
  reset(socket);
  await closed;
  reset(socket);
  expect(closes).toEqual(['close']);
});
