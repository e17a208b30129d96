/** What a pod says that curl does not: bytes, tunnels, WebSockets. */
import {once} from 'node:events';
import {connect as connectTls} from 'node:tls';
import {connectIn, type Lab} from '../lab/index.ts';
import {until, within} from '../waiting.ts';

/**
 * Sends bytes from the pod; answers the first that come back, or '' where the connection is closed before. With `first`, that
 * is sent before, and has to be answered by a 200.
 */
export function say(lab: Lab, to: {ip: string; port: number}, text: string, first?: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectIn(lab.pod('app').path, to);
    let waiting = first !== undefined;
    const done = (answer: string): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('error', () => done(''));
    socket.on('end', () => done(''));
    socket.on('data', (chunk: Buffer) => {
      if (!waiting) return done(chunk.toString());
      waiting = false;
      if (chunk.toString().startsWith('HTTP/1.1 200')) socket.write(text);
      else done('');
    });
    socket.write(first ?? text);
  });
}

/** Asks for a WebSocket inside TLS, sends `text` in it; answers the status, and what came back in it. */
export async function webSocket(lab: Lab, servername: string, ip: string, path: string, text: string) {
  const socket = connectIn(lab.pod('app').path, {ip, port: 443});
  const tls = connectTls({socket, servername, rejectUnauthorized: false, ALPNProtocols: ['http/1.1']});
  let got = '';
  tls.on('data', (chunk: Buffer) => (got += chunk.toString()));
  tls.on('error', () => undefined);
  await within(once(tls, 'secureConnect'), `the TLS handshake with ${servername}`);
  const fields = `Host: ${servername}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n`;
  tls.write(`GET ${path} HTTP/1.1\r\n${fields}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
  await until(
    () => got,
    (text) => text.includes('\r\n\r\n'),
  );
  const status = Number(got.split(' ')[1]);
  got = got.slice(got.indexOf('\r\n\r\n') + 4);
  if (status === 101) {
    tls.write(text);
    await until(
      () => got,
      (said) => said.length >= text.length,
    );
  }
  tls.destroy();
  return {status, said: got};
}
