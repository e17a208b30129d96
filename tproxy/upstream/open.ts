/** From a route to a connection that may carry it: direct or through a parent, in the clear or verified TLS. */
import {isIP, type Socket} from 'node:net';
import type {LegPlace} from './carry.ts';
import type {Failure, Route} from './contract.ts';
import type {Dialer} from './dial.ts';
import {hostPort, unreachable} from './failures.ts';
import type {KnownParent, Parents} from './parent.ts';
import type {RootStore} from './roots.ts';
import type {TlsClient} from './tls.ts';

/**
 * How a request travels: straight to a checked address, through a CONNECT tunnel, or to the parent itself in
 * absolute-form (RFC 9112 §3.2.2). Made of the route before anything is looked for in the pool.
 */
export type Carriage =
  | {readonly kind: 'direct'}
  | {readonly kind: 'tunnel'; readonly parent: KnownParent; readonly sends: 'name' | 'address'}
  | {readonly kind: 'absolute'; readonly parent: KnownParent};

export interface Opened {
  readonly socket: Socket;
  readonly protocol: 'h1' | 'h2';
  readonly place: LegPlace;
}

export type OpenResult = Opened | {readonly failure: Failure; readonly alpnRefused: boolean};

export interface OpenTarget {
  readonly route: Route;
  readonly carriage: Carriage;
  /** null: in the clear. */
  readonly alpn: readonly string[] | null;
  /** Whose TLS sessions may be resumed; the pool's key. */
  readonly key: string;
}

export interface Opener {
  open(target: OpenTarget, done: (result: OpenResult) => void): {cancel(): void};
}

/** What a route's `via` comes to; a parent that is not there is a failure, never direct. `tunnelled`: only through a tunnel, whatever the scheme. */
export function carriageOf(route: Route, parents: Parents, tunnelled: boolean): Carriage | Failure {
  const {via} = route;
  switch (via.kind) {
    case 'direct':
      return {kind: 'direct'};
    case 'missing':
      return unreachable(`the UpstreamProxy ${via.proxy} that the rule names does not exist`);
    case 'proxy': {
      const parent = parents.find(via.proxy);
      if ('reason' in parent) return parent;
      if (route.scheme === 'http' && via.sends === 'name' && !tunnelled) return {kind: 'absolute', parent};
      return {kind: 'tunnel', parent, sends: via.sends};
    }
  }
}

export function createOpener(parts: {
  readonly dialer: Dialer;
  readonly parents: Parents;
  readonly tls: TlsClient;
  readonly roots: RootStore;
}): Opener {
  const {dialer, parents, tls, roots} = parts;
  return {
    open(target, done) {
      const {route, carriage, alpn} = target;
      const where = hostPort(route.name, route.port);
      let step: {cancel(): void};
      const failed = (failure: Failure): void => done({failure, alpnRefused: false});

      const connected = (socket: Socket, address: string | null, peer: string): void => {
        const proxy = carriage.kind === 'direct' ? null : carriage.parent.name;
        if (alpn === null) {
          done({socket, protocol: 'h1', place: {address, peer, proxy, where, wantsCertificate: false}});
          return;
        }
        const {standard} = roots;
        step = tls.secure(
          socket,
          {name: route.name, port: route.port, alpn, roots: standard, sessionKey: target.key},
          (result) => {
            if ('failure' in result) {
              done(result);
              return;
            }
            // A server that answers with what was not offered is refused by OpenSSL; one that answers nothing speaks HTTP/1.1.
            done({
              socket: result.socket,
              protocol: result.protocol,
              place: {address, peer, proxy, where, wantsCertificate: result.wantsCertificate},
            });
          },
        );
      };

      if (carriage.kind === 'direct') {
        step = dialer.dial(
          {name: route.name, port: route.port, addresses: route.dial, source: route.source},
          (result) => {
            if ('failure' in result) failed(result.failure);
            else connected(result.socket, result.address, hostPort(result.address, route.port));
          },
        );
      } else {
        const {parent} = carriage;
        // The checked addresses are sent as addresses, so that the parent's resolver has no say (POLICY.md `Local`).
        const byAddress = carriage.kind === 'tunnel' && carriage.sends === 'address';
        const authorities =
          carriage.kind === 'absolute'
            ? null
            : byAddress
              ? route.dial.map((address) => hostPort(address, route.port))
              : [where];
        if (authorities !== null && authorities.length === 0) {
          const dead = setImmediate(() =>
            failed(unreachable(`there is no checked address of ${where} to send to the UpstreamProxy ${parent.name}`)),
          );
          return {cancel: () => clearImmediate(dead)};
        }
        step = parents.reach(parent, authorities, (result) => {
          if ('failure' in result) failed(result.failure);
          else
            connected(
              result.socket,
              byAddress
                ? route.dial[result.index]!
                : isIP(route.name) !== 0 && carriage.kind === 'tunnel'
                  ? route.name
                  : null,
              result.peer,
            );
        });
      }
      return {cancel: () => step.cancel()};
    },
  };
}
