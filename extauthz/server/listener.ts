/**
 * A gRPC server on sockets that we accept ourselves: so that several processes can share a port (SO_REUSEPORT), connections
 * are counted, and certificates are replaced while it runs.
 */
import {Server, ServerCredentials, type ConnectionInjector} from '@grpc/grpc-js';
import {chmodSync, rmSync, statSync} from 'node:fs';
import {connect, createServer, type AddressInfo, type Server as NetServer, type Socket} from 'node:net';
import {createServer as createTlsServer, type Server as TlsServer, type TLSSocket} from 'node:tls';
import {SallyportError} from '../../runtime/errors.ts';
import {cannotListen} from '../../runtime/listen.ts';
import type {TlsFiles} from '../../runtime/tls-files.ts';
import {EXTAUTHZ_LIMITS as LIMITS} from '../limits.ts';

export type Place =
  | {readonly kind: 'tcp'; readonly ip: string | null; readonly port: number}
  | {readonly kind: 'unix'; readonly path: string};

/** RFC 9113 §3.4: what a client says first. */
const PREFACE_BYTES = 24;

export interface ListenerOptions {
  /** The flag that named the place, for messages. */
  readonly flag: string;
  readonly place: Place;
  readonly tls: TlsFiles | null;
  /** Whether other processes listen there too. */
  readonly shared: boolean;
  /** For tests. */
  readonly limits?: Partial<
    Record<'connections' | 'connectionsPerAddress' | 'streamsPerConnection' | 'handshakeMs', number>
  >;
}

export class Listener {
  readonly #options: ListenerOptions;
  readonly grpc: Server;
  readonly #injector: ConnectionInjector;
  readonly #servers: (NetServer | TlsServer)[] = [];
  readonly #sockets = new Map<Socket, number>();
  /** Connections of each address, handshakes included. */
  readonly #addresses = new Map<string, number>();

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.grpc = new Server({
      'grpc.max_receive_message_length': LIMITS.messageBytes,
      'grpc.max_concurrent_streams': options.limits?.streamsPerConnection ?? LIMITS.streamsPerConnection,
      'grpc.enable_channelz': 0,
      'grpc-node.max_session_memory': LIMITS.sessionMemoryMegabytes,
    });
    letStreamsBeReset(this.grpc);
    this.#injector = this.grpc.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** Listens, or throws SallyportError `PortInUse`, `CannotListen`. */
  async listen(): Promise<void> {
    const {place, flag, shared} = this.#options;
    if (place.kind === 'unix') {
      await removeStale(place.path, flag);
      const server = this.#server();
      await new Promise<void>((resolve, reject) => {
        server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListenAt(flag, place.path, error)));
        server.listen({path: place.path}, resolve);
      });
      // Nobody but us and our group asks; an Envoy of another user shares the group.
      chmodSync(place.path, 0o660);
      return;
    }
    for (const ip of place.ip === null ? ['0.0.0.0', '::'] : [place.ip]) {
      const server = this.#server();
      await new Promise<void>((resolve, reject) => {
        server.once('error', (error: NodeJS.ErrnoException) =>
          reject(cannotListen(flag, {ip, port: place.port}, error)),
        );
        server.listen({host: ip, port: place.port, reusePort: shared, ipv6Only: ip === '::'}, resolve);
      });
    }
  }

  #server(): NetServer | TlsServer {
    const {tls, limits} = this.#options;
    const handshakeTimeout = limits?.handshakeMs ?? LIMITS.handshakeMs;
    const server =
      tls === null
        ? createServer({noDelay: true}, (socket) => this.#accept(socket))
        : createTlsServer({...secureContext(tls), ALPNProtocols: ['h2'], handshakeTimeout}, (socket) =>
            this.#acceptTls(socket),
          );
    server.prependListener('connection', (socket: Socket) => this.#count(socket));
    server.maxConnections = limits?.connections ?? LIMITS.connections;
    this.#servers.push(server);
    return server;
  }

  /** An address with too many connections gets no more, so that nobody takes the places of the others. */
  #count(socket: Socket): void {
    const {remoteAddress: address} = socket;
    // The clients of a unix socket have none: they are whom its folder lets in.
    if (address === undefined) return;
    const count = (this.#addresses.get(address) ?? 0) + 1;
    if (count > (this.#options.limits?.connectionsPerAddress ?? LIMITS.connectionsPerAddress)) {
      socket.destroy();
      return;
    }
    this.#addresses.set(address, count);
    socket.once('close', () => {
      const left = this.#addresses.get(address)! - 1;
      if (left === 0) this.#addresses.delete(address);
      else this.#addresses.set(address, left);
    });
  }

  #acceptTls(socket: TLSSocket): void {
    // grpc-js answers HTTP/2 only; without ALPN it would wait for a preface for ever.
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy();
      return;
    }
    this.#accept(socket);
  }

  #accept(socket: Socket): void {
    if (socket.destroyed) return;
    this.#sockets.set(socket, 0);
    const before = socket.bytesRead;
    const silent = setTimeout(() => {
      if (socket.bytesRead - before < PREFACE_BYTES) socket.destroy();
    }, this.#options.limits?.handshakeMs ?? LIMITS.handshakeMs);
    socket.once('close', () => {
      clearTimeout(silent);
      this.#sockets.delete(socket);
    });
    // http2 reports on its session; a socket that fails before it has one is just gone.
    socket.on('error', () => undefined);
    this.#injector.injectConnection(socket);
  }

  /** Certificates for connections from now on. Throws what OpenSSL says of bad ones; the old stay. */
  replaceCertificates(tls: TlsFiles): void {
    for (const server of this.#servers) if ('setSecureContext' in server) server.setSecureContext(secureContext(tls));
  }

  /** Connections now. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Destroys the connection that received most since the last call: what it sent is held by unfinished messages. */
  shed(): void {
    let most: Socket | null = null;
    let bytes = 0;
    for (const [socket, before] of this.#sockets) {
      const received = socket.bytesRead - before;
      this.#sockets.set(socket, socket.bytesRead);
      if (received < bytes) continue;
      most = socket;
      bytes = received;
    }
    most?.destroy();
  }

  /** The port that was bound; for tests that ask for 0. */
  get port(): number {
    return (this.#servers[0]!.address() as AddressInfo).port;
  }

  /** Accepts nothing more, lets what runs finish within the time, then cuts it. */
  async drain(deadlineMs: number): Promise<void> {
    const closed = Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
    this.#injector.drain(deadlineMs);
    const cut = setTimeout(() => this.close(), deadlineMs);
    await closed;
    clearTimeout(cut);
    this.close();
  }

  close(): void {
    for (const server of this.#servers) if (server.listening) server.close();
    for (const socket of this.#sockets.keys()) socket.destroy();
    this.grpc.forceShutdown();
  }
}

/** grpc-js has no option for it; what it gives every HTTP/2 server is this (1.14). resets.test.ts holds that it is heeded. */
function letStreamsBeReset(server: Server): void {
  const {commonServerOptions} = server as unknown as {commonServerOptions: object};
  Object.assign(commonServerOptions, {
    streamResetBurst: LIMITS.streamResetBurst,
    streamResetRate: LIMITS.streamResetsPerSecond,
  });
}

function secureContext({clientCa, ...files}: TlsFiles) {
  return {
    ...files,
    minVersion: 'TLSv1.2' as const,
    ...(clientCa === null ? {} : {ca: clientCa, requestCert: true, rejectUnauthorized: true}),
  };
}

/** A socket that a crashed process left behind is removed; one that is served, or is no socket, is not. */
async function removeStale(path: string, flag: string): Promise<void> {
  let isSocket: boolean;
  try {
    isSocket = statSync(path).isSocket();
  } catch {
    return;
  }
  if (!isSocket)
    throw new SallyportError(
      'CannotListen',
      `${flag} unix:${path}: there is a file that is no socket`,
      'Choose another path.',
    );
  const served = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (served)
    throw new SallyportError(
      'PortInUse',
      `${flag} unix:${path} is served by another process`,
      `Stop it, or choose another path with ${flag}.`,
    );
  rmSync(path);
}

function cannotListenAt(flag: string, path: string, error: NodeJS.ErrnoException): SallyportError {
  const why = error.code === 'EACCES' ? 'no permission to make a socket there' : error.message;
  return new SallyportError(
    'CannotListen',
    `${flag} unix:${path}: ${why}`,
    'Choose a folder that this user can write.',
    {
      cause: error,
    },
  );
}
