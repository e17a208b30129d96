/**
 * What stands outside and hears everything: a TCP server on every port that ends TLS for whatever name it is asked for and
 * speaks HTTP/1 and HTTP/2, and a packet capture for all that is no TCP. Tokens are found wherever they arrive.
 */
import type {ChildProcess} from 'node:child_process';
import {createServer, type Server, type Socket} from 'node:net';
import {performServerHandshake, type ServerHttp2Stream} from 'node:http2';
import {duplexPair, type Duplex} from 'node:stream';
import {TLSSocket, type SecureContext} from 'node:tls';
import type {PublicCa} from '../../cli/demo/public-ca.ts';
import type {Endpoint} from '../../policy/index.ts';
import {fdOf, originalDestination} from '../../tproxy/capture/sockets.ts';
import {listenIn, type Lab, type Where} from '../lab/index.ts';
import {TOKEN} from './token.ts';

/** Longer than a token and the bytes that a protocol may put around it: what is kept for one that is cut in two. */
const OVERLAP_BYTES = 64;
const TLS_HANDSHAKE = 0x16;
/** Every port is led here. */
const WITNESS_PORT = 4000;

export interface Witness {
  /** Where a token was heard, each place once. */
  heard(token: string): readonly string[];
  /** Resolves when it is heard. */
  hears(token: string): Promise<void>;
  /** What it laid into namespaces is gone as well: others use them after it. */
  close(): Promise<void>;
}

export interface Ears extends Witness {
  /** All TCP that arrives in a namespace and its frames; `except` are nft matches of what is left alone. */
  listenEverywhere(where: Where, path: string, place: string, except: readonly string[]): Promise<void>;
  /** TCP at one port of a namespace. */
  listenAt(path: string, ip: string, port: number, place: string): Promise<void>;
  /** Whatever else was seen by somebody. */
  hear(place: string, bytes: Buffer): void;
}

export function createWitness(lab: Lab, ca: PublicCa): Ears {
  const heardAt = new Map<string, Set<string>>();
  const waiting = new Map<string, (() => void)[]>();
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const captures: ChildProcess[] = [];
  const redirected: Where[] = [];

  const note = (place: string, text: string): void => {
    for (const [token] of text.toLowerCase().matchAll(TOKEN)) {
      heardAt.set(token, (heardAt.get(token) ?? new Set()).add(place));
      for (const tell of waiting.get(token) ?? []) tell();
      waiting.delete(token);
    }
  };
  /** One stream of bytes: a token that two chunks share is found too. */
  const stream = (place: string): ((bytes: Buffer) => void) => {
    let tail = '';
    return (bytes) => {
      const text = tail + bytes.toString('latin1');
      note(place, text);
      tail = text.slice(-OVERLAP_BYTES);
    };
  };

  const serve = (place: string): Server => {
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => sockets.delete(socket));
      const to = redirectedFrom(socket) ?? {ip: socket.localAddress, port: socket.localPort};
      const at = `${place} ${to.ip}:${to.port}, from ${socket.remoteAddress}`;
      const listen = stream(at);
      socket.once('data', (first: Buffer) => {
        listen(first);
        socket.pause();
        socket.unshift(first);
        if (first[0] === TLS_HANDSHAKE) return endTls(socket, at);
        serveHttp1(socket, listen);
        // Paused by hand, so a new listener alone does not set it going.
        socket.resume();
      });
    });
    servers.push(server);
    return server;
  };

  const endTls = (socket: Socket, at: string): void => {
    const tls = new TLSSocket(socket, {
      isServer: true,
      ALPNProtocols: ['h2', 'http/1.1'],
      SNICallback: (name, done) => done(null, contextFor(name)),
      secureContext: ca.leaves.context('unnamed.test'),
    });
    tls.on('error', () => socket.destroy());
    tls.once('secure', () => {
      const listen = stream(`${at}, inside TLS`);
      if (tls.alpnProtocol === 'h2') serveHttp2(tls, listen, note.bind(null, `${at}, HTTP/2`));
      else serveHttp1(tls, listen);
    });
  };
  const contextFor = (name: string): SecureContext => {
    try {
      return ca.leaves.context(name);
    } catch {
      // No name that a certificate could have: whoever dials so does not look at it either.
      return ca.leaves.context('unnamed.test');
    }
  };

  return {
    heard: (token) => [...(heardAt.get(token) ?? [])],
    hears(token) {
      if (heardAt.has(token)) return Promise.resolve();
      return new Promise((resolve) => waiting.set(token, [...(waiting.get(token) ?? []), resolve]));
    },
    hear: (place, bytes) => note(place, bytes.toString('latin1')),
    async listenEverywhere(where, path, place, except) {
      await Promise.all(['0.0.0.0', '::'].map((ip) => listenIn(path, serve(place), ip, WITNESS_PORT)));
      const rules = [
        'table inet witness {',
        '  chain prerouting { type nat hook prerouting priority dstnat;',
        ...except.map((match) => `    ${match} accept`),
        `    meta l4proto tcp redirect to :${WITNESS_PORT}`,
        '  }',
        '}',
      ];
      const loaded = await lab.exec(where, ['nft', '-f', '-'], {stdin: `${rules.join('\n')}\n`});
      if (loaded.status !== 0) throw new Error(`nft: ${loaded.stderr}`);
      redirected.push(where);
      // -Q in: what this side sends itself is no arrival.
      const capture = lab.spawn(where, ['tcpdump', '-i', 'eth0', '-Q', 'in', '-U', '-s0', '-w', '-'], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      captures.push(capture);
      await new Promise<void>((resolve, reject) => {
        let said = '';
        capture.once('exit', () => reject(new Error(`tcpdump: ${said}`)));
        capture.stderr!.on('data', (chunk: Buffer) => {
          said += chunk.toString();
          if (said.includes('listening on')) resolve();
        });
      });
      capture.stdout!.on('data', stream(`${place}, on the wire`));
    },
    async listenAt(path, ip, port, place) {
      await listenIn(path, serve(place), ip, port);
    },
    async close() {
      for (const capture of captures) capture.kill('SIGKILL');
      for (const socket of sockets) socket.destroy();
      for (const server of servers) server.close();
      await Promise.all(redirected.map((where) => lab.exec(where, ['nft', 'delete', 'table', 'inet', 'witness'])));
    },
  };
}

/** Where a connection went before the redirect to our port. */
function redirectedFrom(socket: Socket): Endpoint | null {
  const fd = fdOf(socket);
  return fd === null ? null : originalDestination(fd, socket.remoteFamily === 'IPv6' ? 6 : 4);
}

/**
 * Answers each head that comes, however odd, and hears everything: a server that reads as loosely as possible. A head may
 * say, in hexadecimal, what it is to be answered with.
 */
function serveHttp1(socket: Duplex, listen: (bytes: Buffer) => void): void {
  let text = '';
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    listen(chunk);
    text += chunk.toString('latin1');
    for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
      const head = text.slice(0, end);
      text = text.slice(end + 4);
      const length = /^content-length: *(\d+)\r?$/im.exec(head)?.[1];
      // A body of known length is passed over; every other one is read as if it were heads.
      if (length !== undefined) text = text.slice(Number(length));
      if (!/^[A-Z]+ [^\r\n]* HTTP\/1\.[01]/i.test(head)) continue;
      const answer = /^x-answer: *([0-9a-f]+)$/im.exec(head)?.[1];
      if (answer !== undefined) socket.write(Buffer.from(answer, 'hex'));
      else socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 8\r\n\r\nreached\n');
    }
  });
}

function serveHttp2(tls: TLSSocket, listen: (bytes: Buffer) => void, note: (text: string) => void): void {
  const [inside, outside] = duplexPair();
  tls.on('data', listen);
  tls.pipe(outside).pipe(tls);
  outside.on('error', () => tls.destroy());
  const session = performServerHandshake(inside as Socket);
  session.on('error', () => tls.destroy());
  session.on('stream', (stream: ServerHttp2Stream, headers, _flags, raw: string[]) => {
    note(raw.join('\n'));
    stream.on('error', () => undefined);
    stream.on('trailers', (trailers) => note(JSON.stringify(trailers)));
    stream.on('data', (chunk: Buffer) => note(chunk.toString('latin1')));
    if (stream.destroyed) return;
    if (headers[':method'] === 'CONNECT') return stream.respond({':status': 200});
    stream.respond({':status': 200, 'content-type': 'text/plain'});
    stream.end('reached\n');
  });
}
