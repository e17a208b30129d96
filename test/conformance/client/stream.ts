/** A client's connection whose bytes are collected: plain or TLS, straight or through the explicit port. */
import type {Socket} from 'node:net';
import {isIP} from 'node:net';
import {connect as connectTls, type TLSSocket} from 'node:tls';
import {connectIn} from '../../lab/index.ts';
import type {HostPort} from '../format/case.ts';
import {canonical, joinHostPort} from '../format/places.ts';
import {readResponses} from './responses.ts';

/** A connection that nobody answers: two retries of a dropped SYN. */
const CONNECT_TIMEOUT_MS = 5000;
const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface TlsOffer {
  /** null: none is sent. */
  readonly sni: string | null;
  readonly alpn: readonly string[];
  /** PEM of what is trusted; null: whatever is shown is taken. */
  readonly ca: string | null;
  /** The name (or literal) that the certificate must be for. */
  readonly name: string;
}

/** It could not be opened: how it was refused, in words. */
export interface NotOpened {
  readonly refused: string;
  /** A CONNECT that was answered by something else than 200. */
  readonly status: number | null;
  readonly source: string | null;
}

export class ClientStream {
  readonly stream: Socket | TLSSocket;
  readonly source: string;
  #chunks: Buffer[] = [];
  /** What ended it: null while it is open. */
  ending: string | null = null;
  #waiting: (() => void)[] = [];

  /** `collect` false: somebody else (an HTTP/2 session) reads; only the end is watched. */
  constructor(stream: Socket | TLSSocket, source: string, collect = true) {
    this.stream = stream;
    this.source = source;
    if (collect) {
      stream.on('data', (chunk: Buffer) => {
        this.#chunks.push(chunk);
        this.#wake();
      });
      stream.on('end', () => this.#end('closed'));
    }
    stream.on('error', (error: NodeJS.ErrnoException) =>
      this.#end(error.code === 'ECONNRESET' ? 'reset' : (error.code ?? error.message)),
    );
    stream.on('close', () => this.#end('closed'));
  }

  #end(how: string): void {
    this.ending ??= how;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  get received(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  /** Forget what has come: the next answer begins here. */
  forget(): void {
    this.#chunks = [];
  }

  /** Writes one piece, waits until it is on its way; false: the connection is gone. */
  async write(bytes: Buffer): Promise<boolean> {
    if (this.stream.destroyed || this.stream.writableEnded) return false;
    const {promise, resolve} = Promise.withResolvers<boolean>();
    this.stream.write(bytes, (error) => resolve(error == null));
    this.stream.once('close', () => resolve(false));
    return promise;
  }

  /** Resolves when `done` holds, the connection has ended, or `timeoutMs` have passed: whether `done` held. */
  async until(done: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!done()) {
      const left = deadline - performance.now();
      if (this.ending !== null || left <= 0) return false;
      const {promise, resolve} = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, left);
      this.#waiting.push(resolve);
      await promise;
      clearTimeout(timer);
    }
    return true;
  }

  destroy(): void {
    this.stream.destroy();
  }
}

/** Opens a TCP connection from the namespace at `path`. */
export async function openTcp(path: string, to: {ip: string; port: number}): Promise<Socket | NotOpened> {
  let socket: Socket;
  try {
    socket = connectIn(path, {ip: canonical(to.ip), port: to.port});
  } catch (error) {
    return {refused: (error as Error).message, status: null, source: null};
  }
  const {promise, resolve} = Promise.withResolvers<string | null>();
  socket.once('connect', () => resolve(null));
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  const timer = setTimeout(() => resolve('timed out'), CONNECT_TIMEOUT_MS);
  const refused = await promise;
  clearTimeout(timer);
  if (refused === null) return socket;
  socket.on('error', () => undefined);
  socket.destroy();
  return {refused, status: null, source: null};
}

export const sourceOf = (socket: Socket): string =>
  joinHostPort(canonical(socket.localAddress ?? ''), socket.localPort ?? 0);

/** Asks a proxy for a tunnel on an open connection. */
export async function askTunnel(socket: Socket, to: HostPort): Promise<NotOpened | null> {
  const source = sourceOf(socket);
  const asking = new ClientStream(socket, source);
  const authority = joinHostPort(to.host, to.port);
  await asking.write(Buffer.from(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`, 'latin1'));
  const answer = () => readResponses(asking.received, ['CONNECT'], asking.ending !== null).whole[0] ?? null;
  await asking.until(() => answer() !== null, HANDSHAKE_TIMEOUT_MS);
  socket.removeAllListeners();
  const status = answer()?.status ?? null;
  if (status === 200) return null;
  socket.on('error', () => undefined);
  socket.destroy();
  return {refused: asking.ending ?? 'timed out', status, source};
}

/** A TLS handshake on an open connection. */
export async function openTls(socket: Socket, offer: TlsOffer): Promise<TLSSocket | NotOpened> {
  const source = sourceOf(socket);
  const tls = connectTls({
    socket,
    ...(offer.sni === null ? {} : {servername: offer.sni}),
    ...(offer.alpn.length === 0 ? {} : {ALPNProtocols: [...offer.alpn]}),
    ...(offer.ca === null ? {rejectUnauthorized: false} : {ca: offer.ca, host: offer.name}),
  });
  const {promise, resolve} = Promise.withResolvers<string | null>();
  tls.once('secureConnect', () => resolve(null));
  tls.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  tls.once('close', () => resolve('closed'));
  const timer = setTimeout(() => resolve('timed out'), HANDSHAKE_TIMEOUT_MS);
  const refused = await promise;
  clearTimeout(timer);
  if (refused === null) return tls;
  tls.on('error', () => undefined);
  tls.destroy();
  return {refused: `in the TLS handshake: ${refused}`, status: null, source};
}

/** Whether a name can be sent as SNI (RFC 6066 3: no literals). */
export const sniFor = (host: string): string | null => (isIP(host) === 0 && host !== '' ? host : null);
