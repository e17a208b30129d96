/** The upstream side: from a Route (made of an allowing Decision) to bytes at the checked address, and back. */
import type {Failure, Upstream} from './contract.ts';
import {createDialer, type DialOptions} from './dial.ts';
import {UpstreamExchange} from './exchange.ts';
import {LIMITS} from './limits.ts';
import {carriageOf, createOpener} from './open.ts';
import {createParents, type ParentLookup} from './parent.ts';
import {LegPool} from './pool.ts';
import type {Resolver} from '../../dns/resolver.ts';
import {createRootStore} from './roots.ts';
import {createTlsClient} from './tls.ts';

export type * from './contract.ts';
export type {ParentLookup, ParentProxy} from './parent.ts';

export interface UpstreamOptions extends DialOptions {
  /** For the endpoints of parents; servers' names were resolved for the decision. */
  readonly resolver: Pick<Resolver, 'lookup'>;
  /** The UpstreamProxy of that name as it is now; undefined: none, or one whose secret is missing. The same object while nothing changed. */
  readonly proxy: ParentLookup;
  /** Content of --upstream-ca: PEM, trusted beside the public roots; null: none. */
  readonly upstreamCa: string | null;
  /** The public roots; for tests. */
  readonly publicRoots?: readonly string[];
  readonly handshakeTimeoutMs?: number;
  /** The time in ms, and the coarse clock's period; for tests. */
  readonly now?: () => number;
  readonly tickMs?: number;
}

/** Legs as they are now, for metrics. */
export interface UpstreamCounts {
  readonly idle: number;
  readonly active: number;
  readonly sessions: number;
  /** Of request bodies, kept to be sent again. */
  readonly replayBytes: number;
}

export interface OwnedUpstream extends Upstream {
  counts(): UpstreamCounts;
  /** Cuts every leg and stops the clock; raw connections are the relay's. */
  close(): void;
}

/** Throws a SallyportError where `upstreamCa` holds no certificate. */
export function createUpstream(options: UpstreamOptions): OwnedUpstream {
  const roots = createRootStore(options.upstreamCa, options.publicRoots);
  const tls = createTlsClient(options.handshakeTimeoutMs ?? LIMITS.handshakeTimeoutMs);
  const dialer = createDialer(options);
  const parents = createParents({proxy: options.proxy, dialer, resolver: options.resolver, tls, roots});
  const opener = createOpener({dialer, parents, tls, roots});
  const pool = new LegPool(opener, roots.standard.id, options.now ?? (() => performance.now()));
  const clock = setInterval(() => pool.tick(), options.tickMs ?? LIMITS.tickMs);
  clock.unref();

  return {
    request(route, request, handlers) {
      const exchange = new UpstreamExchange(pool, parents, route, request, handlers);
      exchange.start(false);
      return exchange;
    },
    connect(route, done) {
      // A tunnel, whatever the scheme: these bytes are no HTTP of ours, so no absolute-form.
      const carriage = carriageOf(route, parents, true);
      if ('reason' in carriage) return later(carriage, done);
      return opener.open({route, carriage, alpn: null, key: ''}, (result) => {
        if ('failure' in result) done({failure: result.failure});
        else done({stream: result.socket, address: result.place.peer, proxy: result.place.proxy});
      });
    },
    closeIdle: () => pool.closeIdle(),
    counts: () => pool.counts(),
    close() {
      clearInterval(clock);
      pool.destroy();
    },
  };
}

function later(failure: Failure, done: (result: {readonly failure: Failure}) => void): {cancel(): void} {
  const timer = setImmediate(() => done({failure}));
  return {cancel: () => clearImmediate(timer)};
}
