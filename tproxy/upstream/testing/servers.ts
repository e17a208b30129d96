/** Servers whose every byte a test chooses. */
import {createServer, type Server, type Socket} from 'node:net';
import {createServer as createTlsServer, type TlsOptions} from 'node:tls';

export interface RawServer {
  readonly server: Server;
  /** What each connection sent, in order of arrival. */
  readonly received: string[];
  readonly sockets: Socket[];
}

/** Answers each request head on a connection with what `answer` returns; null: nothing. A string is written as it is. */
export function rawServer(
  answer: (head: string, nth: number, socket: Socket) => string | null,
  tls?: TlsOptions,
): RawServer {
  const received: string[] = [];
  const sockets: Socket[] = [];
  const serve = (socket: Socket): void => {
    const index = received.push('') - 1;
    sockets.push(socket);
    let unread = '';
    let nth = 0;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      received[index] += chunk.toString('latin1');
      unread += chunk.toString('latin1');
      for (let at = unread.indexOf('\r\n\r\n'); at >= 0; at = unread.indexOf('\r\n\r\n')) {
        const head = unread.slice(0, at + 4);
        unread = unread.slice(at + 4);
        const text = answer(head, nth++, socket);
        if (text !== null) socket.write(text, 'latin1');
      }
    });
  };
  const server = tls === undefined ? createServer({allowHalfOpen: true}, serve) : createTlsServer({...tls}, serve);
  return {server, received, sockets};
}

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
