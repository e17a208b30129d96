/** UpstreamProxies: which endpoint is asked, in what order, and what its failures mean. Never a way around them (POLICY.md). */
import {createHash} from 'node:crypto';
import {isIP, type Socket} from 'node:net';
import type {Failure} from './contract.ts';
import type {Dialer} from './dial.ts';
import {hostPort, unreachable} from './failures.ts';
import {LIMITS} from './limits.ts';
import type {Resolver} from '../../dns/resolver.ts';
import type {RootStore, Roots} from './roots.ts';
import type {TlsClient} from './tls.ts';
import {openTunnel} from './tunnel.ts';

/** An UpstreamProxy with its secrets filled in. */
export interface ParentProxy {
  readonly endpoints: readonly {readonly tls: boolean; readonly host: string; readonly port: number}[];
  readonly credentials: {readonly username: string; readonly password: string} | null;
  /** PEM: the roots of the endpoints' certificates, alone; null: the public roots and --upstream-ca. */
  readonly caBundle: string | null;
}

/** Asked for each connection, so its answers may change; undefined: there is none of that name. */
export type ParentLookup = (name: string) => ParentProxy | undefined;

/** A parent as it is now; `id` changes with its endpoints, credentials and roots. */
export interface KnownParent {
  readonly name: string;
  readonly id: string;
  readonly config: ParentProxy;
  /** `Basic ...`, or null where it asks for none. */
  readonly authorization: string | null;
}

export type ParentResult =
  | {
      readonly socket: Socket;
      /** `address:port` of the endpoint. */ readonly peer: string;
      /** Which of the authorities; 0 without a tunnel. */ readonly index: number;
    }
  | {readonly failure: Failure};

export interface Parents {
  find(name: string): KnownParent | Failure;
  /**
   * A connection to the parent; with `authorities` (host:port, in order) a tunnel to the first that it connects to.
   * Endpoints that cannot be connected to are passed over; an answer of the parent's is final, whatever it is.
   */
  reach(
    parent: KnownParent,
    authorities: readonly string[] | null,
    done: (result: ParentResult) => void,
  ): {cancel(): void};
}

export interface ParentOptions {
  readonly proxy: ParentLookup;
  readonly dialer: Dialer;
  readonly resolver: Pick<Resolver, 'lookup'>;
  readonly tls: TlsClient;
  readonly roots: RootStore;
  /** The clock, in ms; for tests. */
  readonly now?: () => number;
}

/** RFC 7617 §2.1: in UTF-8, as proxies have come to read it. A colon in the name cannot be written. */
function basic(credentials: NonNullable<ParentProxy['credentials']>): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`, 'utf8').toString('base64')}`;
}

class ParentPool implements Parents {
  readonly #options: ParentOptions;
  readonly #known = new WeakMap<ParentProxy, KnownParent>();
  /** Endpoints that failed, to the time until which they are tried last. */
  readonly #resting = new Map<string, number>();
  readonly #now: () => number;

  constructor(options: ParentOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  find(name: string): KnownParent | Failure {
    const config = this.#options.proxy(name);
    if (config === undefined)
      return unreachable(
        `the UpstreamProxy ${name} does not exist or its secret is missing, so nothing can be sent through it`,
      );
    let known = this.#known.get(config);
    if (known === undefined) {
      const id = createHash('sha256').update(JSON.stringify(config)).digest('base64url');
      known = {
        name,
        id: `${name}#${id}`,
        config,
        authorization: config.credentials === null ? null : basic(config.credentials),
      };
      this.#known.set(config, known);
    }
    return known;
  }

  reach(
    parent: KnownParent,
    authorities: readonly string[] | null,
    done: (result: ParentResult) => void,
  ): {cancel(): void} {
    return new Reach(this.#options, this, parent, authorities, done);
  }

  /** The endpoints in order, those that failed lately at the end: all of them may, so none is left out. */
  inOrder(parent: KnownParent): ParentProxy['endpoints'] {
    const now = this.#now();
    const rests = (at: ParentProxy['endpoints'][number]): boolean =>
      (this.#resting.get(`${parent.id} ${hostPort(at.host, at.port)}`) ?? 0) > now;
    return [...parent.config.endpoints.filter((at) => !rests(at)), ...parent.config.endpoints.filter(rests)];
  }

  /** `failed`: it rests; else it is as good as any again. */
  mark(parent: KnownParent, at: ParentProxy['endpoints'][number], failed: boolean): void {
    const key = `${parent.id} ${hostPort(at.host, at.port)}`;
    if (!failed) {
      if (this.#resting.size > 0) this.#resting.delete(key);
      return;
    }
    const now = this.#now();
    for (const [other, until] of this.#resting) if (until <= now) this.#resting.delete(other);
    this.#resting.set(key, now + LIMITS.endpointRestMs);
  }
}

/** One way to a parent: endpoint after endpoint, and for a tunnel address after address. */
class Reach {
  readonly #options: ParentOptions;
  readonly #pool: ParentPool;
  readonly #parent: KnownParent;
  readonly #authorities: readonly string[] | null;
  readonly #done: (result: ParentResult) => void;
  readonly #endpoints: ParentProxy['endpoints'];
  readonly #problems: string[] = [];
  #at = 0;
  #authority = 0;
  #step: {cancel(): void} | null = null;
  #over = false;

  constructor(
    options: ParentOptions,
    pool: ParentPool,
    parent: KnownParent,
    authorities: readonly string[] | null,
    done: (result: ParentResult) => void,
  ) {
    this.#options = options;
    this.#pool = pool;
    this.#parent = parent;
    this.#authorities = authorities;
    this.#done = done;
    this.#endpoints = pool.inOrder(parent);
    process.nextTick(() => this.#connect());
  }

  cancel(): void {
    this.#over = true;
    this.#step?.cancel();
  }

  #finish(result: ParentResult): void {
    if (this.#over) return;
    this.#over = true;
    this.#done(result);
  }

  #next(problem: string): void {
    const endpoint = this.#endpoints[this.#at]!;
    this.#pool.mark(this.#parent, endpoint, true);
    // Not the host: what a client reads in a 502 names the UpstreamProxy, not the inside of the network.
    this.#problems.push(`endpoint ${this.#parent.config.endpoints.indexOf(endpoint) + 1}: ${problem}`);
    this.#at++;
    this.#connect();
  }

  #connect(): void {
    if (this.#over) return;
    const endpoint = this.#endpoints[this.#at];
    if (endpoint === undefined) {
      const why = this.#problems.length === 0 ? 'it has no endpoints' : this.#problems.join('; ');
      this.#finish({failure: unreachable(`the UpstreamProxy ${this.#parent.name} cannot be used: ${why}`)});
      return;
    }
    let roots: Roots;
    try {
      const {caBundle} = this.#parent.config;
      roots =
        !endpoint.tls || caBundle === null
          ? this.#options.roots.standard
          : this.#options.roots.bundle(caBundle, `the caBundle of UpstreamProxy ${this.#parent.name}`);
    } catch (error) {
      this.#finish({
        failure: unreachable(`the UpstreamProxy ${this.#parent.name} cannot be used: ${(error as Error).message}`),
      });
      return;
    }
    const dial = (addresses: readonly string[]): void => {
      if (this.#over) return;
      const target = {name: `the UpstreamProxy ${this.#parent.name}`, port: endpoint.port, addresses, source: null};
      this.#step = this.#options.dialer.dial(target, (result) => {
        if (this.#over) return;
        if ('failure' in result) this.#next(result.failure.message);
        else if (endpoint.tls) this.#secure(result.socket, endpoint, hostPort(result.address, endpoint.port), roots);
        else this.#connected(result.socket, hostPort(result.address, endpoint.port));
      });
    };
    if (isIP(endpoint.host) !== 0) {
      dial([endpoint.host]);
      return;
    }
    // The operator's choice: not judged by class; the dialer keeps it off our own ports.
    this.#options.resolver.lookup([endpoint.host], false, (names) => {
      if (this.#over) return;
      const addresses = names.get(endpoint.host);
      if (addresses === undefined || addresses === 'failed' || addresses.length === 0)
        this.#next('its name does not resolve');
      else dial(addresses);
    });
  }

  #secure(socket: Socket, endpoint: ParentProxy['endpoints'][number], peer: string, roots: Roots): void {
    const target = {
      name: endpoint.host,
      port: endpoint.port,
      alpn: [],
      roots,
      sessionKey: `parent ${this.#parent.id} ${roots.id} ${hostPort(endpoint.host, endpoint.port)}`,
    };
    this.#step = this.#options.tls.secure(socket, target, (result) => {
      if (this.#over) return;
      if ('failure' in result) this.#next(result.failure.message);
      else this.#connected(result.socket, peer);
    });
  }

  #connected(socket: Socket, peer: string): void {
    const endpoint = this.#endpoints[this.#at]!;
    if (this.#authorities === null) {
      this.#pool.mark(this.#parent, endpoint, false);
      this.#finish({socket, peer, index: 0});
      return;
    }
    const authority = this.#authorities[this.#authority]!;
    this.#step = openTunnel(
      socket,
      {authority, authorization: this.#parent.authorization, parent: this.#parent.name},
      (result) => {
        if (this.#over) return;
        switch (result.kind) {
          case 'open':
            this.#pool.mark(this.#parent, endpoint, false);
            this.#finish({socket, peer, index: this.#authority});
            return;
          case 'lost':
            this.#next(result.why);
            return;
          case 'unreachable': {
            this.#pool.mark(this.#parent, endpoint, false);
            // It works and could not connect: another checked address may do, another endpoint is not asked.
            const last = Math.min(this.#authorities!.length, LIMITS.maxTunnelAddresses);
            if (++this.#authority < last) this.#connect();
            else this.#finish({failure: result.failure});
            return;
          }
          case 'refused':
            this.#pool.mark(this.#parent, endpoint, false);
            this.#finish({failure: result.failure});
            return;
        }
      },
    );
  }
}

export function createParents(options: ParentOptions): Parents {
  return new ParentPool(options);
}
