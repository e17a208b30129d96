/** A CONNECT proxy for tests that says what it was asked and answers as it is told. */
import {connect, createServer, type Server, type Socket} from 'node:net';
import {createServer as createTlsServer, type TlsOptions} from 'node:tls';

export interface ConnectProxy {
  readonly server: Server;
  /** Request heads, as they came. */
  readonly heads: string[];
}

/**
 * `answer` says what a head gets: `null` a tunnel to loopback at the port asked for (whatever the host), or the
 * response's text. `glue`: bytes in the same packet as the 200.
 */
export function connectProxy(
  answer: (head: string) => string | null,
  options: {tls?: TlsOptions; glue?: string} = {},
): ConnectProxy {
  const heads: string[] = [];
  const serve = (client: Socket): void => {
    client.on('error', () => {});
    let text = '';
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = text.slice(0, end + 4);
      text = text.slice(end + 4);
      heads.push(head);
      const said = answer(head);
      if (said !== null) {
        client.write(said, 'latin1');
        return;
      }
      client.removeListener('data', onData);
      const port = Number(/:(\d+) /.exec(head)![1]);
      const target = connect({port, host: '127.0.0.1', allowHalfOpen: true}, () => {
        client.write(`HTTP/1.1 200 Connection established\r\n\r\n${options.glue ?? ''}`, 'latin1');
        client.pipe(target).pipe(client);
      });
      target.on('error', () => client.destroy());
      client.on('close', () => target.destroy());
    };
    client.on('data', onData);
  };
  const server =
    options.tls === undefined ? createServer({allowHalfOpen: true}, serve) : createTlsServer(options.tls, serve);
  return {server, heads};
}
