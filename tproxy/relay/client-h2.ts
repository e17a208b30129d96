/** An HTTP/2 client: a session of node:http2 whose streams are exchanges. */
import type {Duplex} from 'node:stream';
import {constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream} from 'node:http2';
import type {Decision, TlsHello} from '../../policy/index.ts';
import {TokenBucket} from '../../runtime/token-bucket.ts';
import type {ClientConnection, Stage} from './connection.ts';
import {ignore} from './connection.ts';
import {limited} from './core.ts';
import {h2ServerOptions} from './h2-options.ts';
import {H2Stream} from './h2-stream.ts';

export interface H2Options {
  readonly tls: TlsHello | null;
  /** The connection is refused already; each request is told so, then it ends. */
  readonly forced: Decision | null;
}

/** Serve HTTP/2 on `socket`; its preface was not consumed (or was unshifted). */
export function serveH2(connection: ClientConnection, socket: Duplex, options: H2Options): void {
  new H2Client(connection, socket, options);
}

export class H2Client implements Stage {
  readonly connection: ClientConnection;
  readonly options: H2Options;
  readonly #session: ServerHttp2Session;
  readonly #streams = new Set<H2Stream>();
  readonly #control: TokenBucket;
  readonly #resets: TokenBucket;

  constructor(connection: ClientConnection, socket: Duplex, options: H2Options) {
    this.connection = connection;
    this.options = options;
    const {limits} = connection.core;
    this.#control = new TokenBucket(limits.controlFrameBurst, limits.controlFramesPerSecond);
    this.#resets = new TokenBucket(limits.streamResetBurst, limits.streamResetsPerSecond);
    connection.stage = this;
    connection.expireIn(limits.headTimeoutMs);
    // A session has no half-open state: where the client ends the connection, it ends (and node:http2 would not notice).
    socket.allowHalfOpen = false;
    connection.socket.allowHalfOpen = false;
    this.#session = performServerHandshake(socket, h2ServerOptions(limits));
    const session = this.#session;
    session.on('error', ignore);
    session.on('frameError', ignore);
    session.once('remoteSettings', () => {
      connection.spoke = true;
    });
    session.on('remoteSettings', () => this.#controlFrame());
    session.on('ping', () => this.#controlFrame());
    session.on('stream', (stream: ServerHttp2Stream, _headers: unknown, flags: number, raw: unknown) => {
      stream.on('error', ignore);
      // Opened and reset in one piece: nothing is asked for it, and a session that is over asks for nothing more.
      if (stream.destroyed || stream.closed || session.destroyed) {
        this.#wasReset();
        return;
      }
      if (this.#streams.size === 0) connection.expireIn(limits.idleTimeoutMs);
      const one = new H2Stream(this, stream, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
      this.#streams.add(one);
      stream.once('close', () => {
        this.#streams.delete(one);
        const reset = stream.rstCode !== undefined && stream.rstCode !== constants.NGHTTP2_NO_ERROR;
        if (reset && !one.wasCut) this.#wasReset();
        if (this.#streams.size === 0) connection.expireIn(limits.keepAliveTimeoutMs);
      });
      one.start(raw as string[]);
    });
    session.once('close', () => {
      if (!connection.socket.destroyed) connection.socket.destroySoon();
    });
    socket.on('error', ignore);
    if (connection.core.draining) session.close();
  }

  /**
   * CVE-2023-44487, and CVE-2025-8671, where the client makes us reset. Counted here and not left to nghttp2: it would stop
   * reading and say nothing, and nobody would see the connection end.
   */
  #wasReset(): void {
    const {core} = this.connection;
    if (this.#resets.take(core.now()) || this.#session.destroyed) return;
    limited(core, 'streamResets');
    this.#session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  /** CVE-2019-9512, -9515: each of these makes us answer and asks for nothing. */
  #controlFrame(): void {
    const {core} = this.connection;
    if (this.#control.take(core.now()) || this.#session.destroyed) return;
    limited(core, 'controlFrames');
    this.#session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  /** GOAWAY: streams under way are finished, no new ones come. */
  drain(): void {
    if (!this.#session.closed && !this.#session.destroyed) this.#session.close();
  }

  expire(): void {
    const {connection} = this;
    const {core} = connection;
    const now = core.now();
    const session = this.#session;
    if (session.destroyed) {
      connection.destroy();
      return;
    }
    if (this.#streams.size === 0) {
      session.destroy();
      // Should its socket not go with it.
      connection.expireIn(core.limits.lingerMs);
      return;
    }
    // Each stream for itself: one that moves does not keep those that stand still.
    let nextMs = Infinity;
    for (const stream of [...this.#streams]) {
      const leftMs = stream.movedAt + stream.idleMs - now;
      if (leftMs > 0) nextMs = Math.min(nextMs, leftMs);
      else stream.timedOut();
    }
    if (nextMs !== Infinity) connection.expireIn(nextMs);
    else if (session.closed) session.destroy();
    else {
      // What was said to them may still go out, to a client that reads.
      session.close();
      connection.expireIn(core.limits.lingerMs);
    }
  }
}
