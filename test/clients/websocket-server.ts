import {createServer, type Server} from 'node:https';
import {WebSocketServer} from 'ws';
import type {LeafSource} from '../../pki/index.ts';

/** Echoes every message, text as text. */
export function webSocketServer(leaves: LeafSource, name: string): Server {
  const server = createServer({SNICallback: (_, done) => done(null, leaves.context(name))});
  new WebSocketServer({server, path: '/ws'}).on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, {binary: isBinary}));
  });
  return server;
}
