/**
 * TCP to one of the checked addresses and to nothing else: attempts are staggered in the order given (RFC 8305 §5), the
 * first that connects wins and the others are closed.
 */
import {connect, isIP, type Socket} from 'node:net';
import {TLSSocket} from 'node:tls';
import type {Address, Endpoint} from '../../policy/index.ts';
import type {Failure} from './contract.ts';
import {hostPort, unreachable} from './failures.ts';
import {LIMITS} from './limits.ts';

/** What a dialled TLSSocket emits once its peer may be spoken to. */
export const VERIFIED = 'verified';

export interface DialOptions {
  /** Whether that is a listener of ours: such an address is never dialled (no request through the proxy to the proxy). */
  readonly isOwnListener: (address: Address, port: number) => boolean;
  /** Cluster, node and link-local ranges: the proxy is no deputy of the node's, so these see the pod's own address or nothing. */
  readonly mustUseOwnAddress: (address: Address) => boolean;
  /** A socket bound to the pod's address that is connecting to the destination; null where the kernel cannot be asked for it. */
  readonly connectTransparent:
    ((options: {source: Endpoint; destination: Endpoint; allowHalfOpen: boolean}) => Socket) | null;
  /** How everything else is dialled for a client. Default: as net.connect(). */
  readonly connectAsNode?: (options: {source: Endpoint; destination: Endpoint}) => Socket;
  readonly connectTimeoutMs?: number;
  readonly attemptDelayMs?: number;
}

export interface DialTarget {
  /** What messages call it: the name that was asked for. */
  readonly name: string;
  readonly port: number;
  readonly addresses: readonly Address[];
  /** The client's own address; null for a parent proxy, which is the operator's and is dialled as ourselves. */
  readonly source: Endpoint | null;
}

export type DialResult = {readonly socket: Socket; readonly address: Address} | {readonly failure: Failure};

export interface Dialer {
  /** Connects, or says why not; `done` is called once and never before this returns. The socket has TCP_NODELAY and is paused. */
  dial(target: DialTarget, done: (result: DialResult) => void): {cancel(): void};
}

/** What a connect error means, without the address (a failure names only what a rule named). */
function explain(code: string | undefined): string {
  switch (code) {
    case 'ECONNREFUSED':
      return 'connection refused';
    case 'ETIMEDOUT':
      return 'no answer in time';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
      return 'no route to it';
    case 'ECONNRESET':
      return 'connection reset';
    case 'EACCES':
    case 'EPERM':
      return 'a firewall of this node forbids it';
    case 'NoSourceAddress':
      return "it must see the client's own address, and the client has none of that family";
    case 'MissingCapability':
      return "it must see the client's own address, which needs CAP_NET_ADMIN";
    case 'EMFILE':
    case 'ENFILE':
      return 'too many open files; raise the limit (ulimit -n)';
    default:
      return code ?? 'connection failed';
  }
}

class Attempts {
  readonly #options: DialOptions;
  readonly #target: DialTarget;
  readonly #done: (result: DialResult) => void;
  readonly #sockets = new Set<Socket>();
  readonly #problems: string[] = [];
  #next = 0;
  #over = false;
  #stagger: NodeJS.Timeout | null = null;

  constructor(options: DialOptions, target: DialTarget, done: (result: DialResult) => void) {
    this.#options = options;
    this.#target = target;
    this.#done = done;
    process.nextTick(() => this.#more());
  }

  cancel(): void {
    this.#finish();
  }

  #finish(winner?: Socket): void {
    this.#over = true;
    if (this.#stagger !== null) clearTimeout(this.#stagger);
    for (const socket of this.#sockets) if (socket !== winner) socket.destroy();
    this.#sockets.clear();
  }

  #problem(text: string): void {
    if (!this.#problems.includes(text)) this.#problems.push(text);
  }

  /** Starts the next attempt, and arms the one after it. */
  #more(): void {
    if (this.#over) return;
    if (this.#stagger !== null) clearTimeout(this.#stagger);
    this.#stagger = null;
    const {addresses} = this.#target;
    const last = Math.min(addresses.length, LIMITS.maxDialAttempts);
    let started = false;
    while (this.#next < last && !started) started = this.#attempt(addresses[this.#next++]!);
    if (started && this.#next < last) {
      this.#stagger = setTimeout(() => this.#more(), this.#options.attemptDelayMs ?? LIMITS.attemptDelayMs);
    } else if (this.#sockets.size === 0) {
      this.#fail();
    }
  }

  #fail(): void {
    this.#finish();
    const why = this.#problems.length === 0 ? 'no address to connect to' : this.#problems.join('; ');
    this.#done({failure: unreachable(`cannot connect to ${hostPort(this.#target.name, this.#target.port)}: ${why}`)});
  }

  /** Returns false where this address may not or cannot be tried. */
  #attempt(address: Address): boolean {
    const {port, source} = this.#target;
    if (this.#options.isOwnListener(address, port)) {
      this.#problem('that is a listener of this proxy');
      return false;
    }
    if (isIP(address) === 0) {
      // A name here would be looked up by the system, past the decision (invariant 4).
      this.#problem('not an address');
      return false;
    }
    let socket: Socket;
    try {
      if (source !== null && this.#options.mustUseOwnAddress(address)) {
        const transparent = this.#options.connectTransparent;
        if (transparent === null) {
          this.#problem(
            "it must see the client's own address, which needs transparent sockets (CAP_NET_ADMIN and --capture node)",
          );
          return false;
        }
        socket = transparent({source, destination: {ip: address, port}, allowHalfOpen: true});
      } else if (source !== null && this.#options.connectAsNode !== undefined) {
        socket = this.#options.connectAsNode({source, destination: {ip: address, port}});
      } else {
        // allowHalfOpen: a tunnel carries a half-close; HTTP legs close by themselves.
        socket = connect({host: address, port, autoSelectFamily: false, allowHalfOpen: true});
      }
    } catch (error) {
      this.#problem(explain((error as NodeJS.ErrnoException).code));
      return false;
    }
    this.#sockets.add(socket);
    const onError = (error: NodeJS.ErrnoException): void => this.#lost(socket, explain(error.code));
    socket.once('error', onError);
    socket.setTimeout(this.#options.connectTimeoutMs ?? LIMITS.connectTimeoutMs, () =>
      this.#lost(socket, 'no answer in time'),
    );
    // Wrapped for an enrolled pod (tproxy/mtls): nothing is said before its peer was verified.
    socket.once(socket instanceof TLSSocket ? VERIFIED : 'connect', () => {
      if (this.#over) return;
      if (source !== null && isThisMachine(socket)) {
        this.#lost(socket, 'that is an address of this node');
        return;
      }
      socket.removeListener('error', onError);
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      socket.setNoDelay(true);
      socket.setKeepAlive(true, LIMITS.keepAliveDelayMs);
      this.#finish(socket);
      this.#done({socket, address});
    });
    return true;
  }

  #lost(socket: Socket, why: string): void {
    if (this.#over || !this.#sockets.delete(socket)) return;
    socket.once('error', () => {});
    socket.destroy();
    this.#problem(why);
    this.#more();
  }
}

/**
 * Connected to ourselves: the kernel chose the destination as the source. The decision knew no such address of the node's,
 * for those it knows are dialled with the pod's; so it is one that the node got a moment ago. Nothing has been sent yet.
 * Loopback is a class of its own, which no rule opens.
 */
function isThisMachine({localAddress, remoteAddress}: Socket): boolean {
  return localAddress === remoteAddress && localAddress?.startsWith('127.') === false && localAddress !== '::1';
}

/** Dials checked addresses. */
export function createDialer(options: DialOptions): Dialer {
  return {dial: (target, done) => new Attempts(options, target, done)};
}
