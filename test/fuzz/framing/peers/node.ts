/** node:http, whose parser is llhttp. */
import {createServer} from 'node:http';
import {join} from 'node:path';
import {READ_FIELD, fieldOf} from '../peer.ts';
import type {Peer} from '../peer.ts';

export async function startNode(dir: string): Promise<Peer> {
  const path = join(dir, 'node.sock');
  const server = createServer({keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0}, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      response.setHeader(READ_FIELD, fieldOf(request.method ?? '', Buffer.concat(chunks)));
      response.end();
    });
    request.on('error', () => undefined);
  });
  server.on('connection', (socket) => socket.on('error', () => undefined));
  // A CONNECT or an upgrade is read up to here; what follows is nobody's request.
  const told = (request: {method?: string | undefined}, socket: {end(text: string): void}): void =>
    socket.end(`HTTP/1.1 200 OK\r\n${READ_FIELD}: ${fieldOf(request.method ?? '', Buffer.alloc(0))}\r\n\r\n`);
  server.on('connect', told);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    name: 'llhttp (node:http)',
    socket: path,
    silenceMs: 0,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
