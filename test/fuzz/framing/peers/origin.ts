/**
 * The origin behind a peer that is a proxy. It reads as little as it can, so that it refuses nothing that the proxy let
 * through: one request to a connection, with its length, which is how the proxies are set to send them.
 */
import {createServer} from 'node:net';
import {join} from 'node:path';
import {READ_FIELD, fieldOf} from '../peer.ts';

export interface Origin {
  readonly socket: string;
  close(): Promise<void>;
}

export async function startOrigin(dir: string): Promise<Origin> {
  const path = join(dir, 'origin.sock');
  const server = createServer((socket) => {
    let bytes: Buffer = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      const headEnd = bytes.indexOf('\r\n\r\n');
      if (headEnd === -1) return;
      const head = bytes.toString('latin1', 0, headEnd);
      const length = Number(/^content-length: *(\d+)$/im.exec(head)?.[1] ?? 0);
      const body = bytes.subarray(headEnd + 4);
      if (body.length < length) return;
      const field = fieldOf(head.slice(0, head.indexOf(' ')), body.subarray(0, length));
      socket.end(`HTTP/1.1 200 OK\r\n${READ_FIELD}: ${field}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {socket: path, close: () => new Promise((resolve) => server.close(() => resolve()))};
}
