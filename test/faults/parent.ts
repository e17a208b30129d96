/** A CONNECT proxy of the lab's internet that does as a test tells it. */
import {createServer, type Server, type Socket} from 'node:net';
import type {ProxiedLab} from '../lab/proxied.ts';
import {connectIn} from '../lab/sockets.ts';

/** What the parent does with the next request heads: carry them, answer this text, or whatever a function does with the socket. */
export type Doing = 'carry' | {readonly answer: string} | ((client: Socket, head: string) => void);

export interface Parent {
  readonly server: Server;
  doing: Doing;
  /** Request heads, as they came. */
  readonly heads: string[];
  /** Cuts what it carries. */
  cut(): void;
}

/** Absolute-form and CONNECT alike are carried as bytes to the address of the name `addresses` knows, or to the literal. */
export function parent(world: () => ProxiedLab, addresses: Readonly<Record<string, string>>): Parent {
  const heads: string[] = [];
  const sockets = new Set<Socket>();
  const parent: Parent = {
    server: createServer({allowHalfOpen: true}, (client) => {
      sockets.add(client);
      client.on('error', () => undefined);
      client.on('close', () => sockets.delete(client));
      let text = '';
      const heard = (chunk: Buffer): void => {
        text += chunk.toString('latin1');
        const end = text.indexOf('\r\n\r\n');
        if (end < 0) return;
        client.off('data', heard);
        const head = text.slice(0, end + 4);
        heads.push(head);
        if (typeof parent.doing === 'function') return parent.doing(client, head);
        if (parent.doing !== 'carry') return void client.end(parent.doing.answer, 'latin1');
        carry(client, head, text.slice(end + 4));
      };
      client.on('data', heard);
    }),
    doing: 'carry',
    heads,
    cut() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
  };
  const carry = (client: Socket, head: string, rest: string): void => {
    const [, method, target] = /^(\S+) (\S+)/.exec(head)!;
    const authority = method === 'CONNECT' ? target! : new URL(target!).host;
    const [host, port] = authority.split(':');
    const upstream = connectIn(world().lab.internet.path, {ip: addresses[host!] ?? host!, port: Number(port ?? 80)});
    upstream.on('error', () => client.destroy());
    client.on('close', () => upstream.destroy());
    upstream.on('connect', () => {
      if (method === 'CONNECT') client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      else upstream.write(`${method} ${new URL(target!).pathname} ${head.slice(head.indexOf('HTTP/1.1'))}`, 'latin1');
      if (rest !== '') upstream.write(rest, 'latin1');
      client.pipe(upstream).pipe(client);
    });
  };
  return parent;
}

/** An UpstreamProxy document. */
export const upstreamProxy = (endpoints: readonly string[], spec: object = {}): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'UpstreamProxy',
  metadata: {name: 'corp'},
  spec: {endpoints: endpoints.map((url) => ({url})), ...spec},
});
