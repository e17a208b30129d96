/** Servers of no protocol: what comes goes back. */
import {createServer as createTcp, type Server, type Socket} from 'node:net';
import {createServer as createTls} from 'node:tls';
import type {Ledger} from './ledger.ts';

function echo(name: string, ledger: Ledger, socket: Socket): void {
  const carriedBy = ledger.carrierOf(socket);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    ledger.bytes(name, socket, carriedBy);
    socket.write(chunk);
  });
  socket.on('end', () => socket.end());
}

export const echoServer = (name: string, ledger: Ledger): Server =>
  createTcp({allowHalfOpen: true}, (socket) => echo(name, ledger, socket));

/** Speaks first, then echoes. */
export const bannerServer = (name: string, ledger: Ledger): Server =>
  createTcp({allowHalfOpen: true}, (socket) => {
    socket.write('220 ready\r\n');
    echo(name, ledger, socket);
  });

/** An echo inside TLS; agrees to whatever ALPN it is offered. */
export function tlsEchoServer(
  name: string,
  ledger: Ledger,
  keys: {readonly cert: string; readonly key: string},
): Server {
  const server = createTls({...keys, ALPNCallback: ({protocols}) => protocols[0]}, (socket) =>
    echo(name, ledger, socket),
  );
  server.on('tlsClientError', () => undefined);
  return server;
}
