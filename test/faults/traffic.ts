/** Requests of a pod that never stop, over kept connections, and what came of each. */
import {connect as connectH2, type ClientHttp2Session} from 'node:http2';
import type {Socket} from 'node:net';
import {once} from 'node:events';
import {connect as connectTls} from 'node:tls';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ProxiedLab} from '../lab/proxied.ts';
import {connectIn} from '../lab/sockets.ts';
import {within} from '../waiting.ts';

export interface Traffic {
  readonly answered: number;
  /** What was not answered with 200, and connections that broke. */
  readonly problems: readonly string[];
  stop(): Promise<void>;
}

/** Keep-alive HTTP/1.1, one request after the other. */
export function http1Traffic(world: ProxiedLab, ip: string, name: string): Traffic {
  const socket: Socket = connectIn(world.lab.pod('app').path, {ip, port: 80});
  const request = `GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`;
  let answered = 0;
  let stopping = false;
  let text = '';
  const problems: string[] = [];
  socket.on('connect', () => socket.write(request));
  socket.on('error', (error) => problems.push(String(error)));
  socket.on('close', () => {
    if (!stopping) problems.push('closed');
  });
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    if (!text.endsWith('hello')) return;
    if (!text.startsWith('HTTP/1.1 200')) problems.push(text.slice(0, 12));
    text = '';
    answered++;
    if (stopping) socket.end();
    else socket.write(request);
  });
  return {
    get answered() {
      return answered;
    },
    problems,
    async stop() {
      if (stopping || socket.destroyed) return;
      stopping = true;
      await within(once(socket, 'close'), `the end of the traffic to ${name}`);
    },
  };
}

/** Streams of one HTTP/2 connection, some at a time. */
export async function http2Traffic(world: ProxiedLab, ip: string, name: string): Promise<Traffic> {
  const socket = connectIn(world.lab.pod('app').path, {ip, port: 443});
  await within(once(socket, 'connect'), `a connection to ${name}`);
  const ca = readFileSync(join(world.caDir, 'bundle.pem'), 'utf8');
  const tls = connectTls({socket, servername: name, ca, ALPNProtocols: ['h2']});
  const session: ClientHttp2Session = connectH2(`https://${name}`, {createConnection: () => tls});
  let answered = 0;
  let stopping = false;
  const problems: string[] = [];
  session.on('error', (error) => problems.push(String(error)));
  session.on('goaway', () => {
    if (!stopping) problems.push('goaway');
  });
  session.on('close', () => {
    if (!stopping) problems.push('closed');
  });
  const next = (): void => {
    if (stopping || session.closed || session.destroyed || problems.includes('goaway')) return;
    const stream = session.request({':path': '/'});
    stream.on('response', (headers) => {
      if (headers[':status'] !== 200) problems.push(String(headers[':status']));
    });
    stream.on('error', (error) => problems.push(String(error)));
    stream.on('close', () => {
      answered++;
      next();
    });
    stream.resume();
  };
  for (let i = 0; i < 4; i++) next();
  return {
    get answered() {
      return answered;
    },
    problems,
    async stop() {
      if (stopping || session.destroyed) return;
      stopping = true;
      session.close();
      await within(once(session, 'close'), `the end of the traffic to ${name}`);
    },
  };
}
