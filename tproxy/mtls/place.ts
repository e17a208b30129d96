/** Where the wire runs: on a node, in front of its pods, or inside of one. What differs is how connections come and how it dials. */
import {connect, type Socket} from 'node:net';
import type {Address, Endpoint} from '../../policy/index.ts';
import {POD_MTLS, PORTS} from '../../runtime/names.ts';
import {familyOf} from '../capture/sockaddr.ts';
import {connectTransparent, fdOf, originalDestination, type DialOptions} from '../capture/sockets.ts';
import {dialAs, dialFrom} from './capture/dial.ts';
import {POD_WIRE_LIMITS, WIRE_LIMITS, type WireLimits} from './wire/limits.ts';

/** The addresses of pods that we speak for. */
export type Here = {readonly has: (address: Address) => boolean; readonly keys: () => Iterable<Address>};

export interface Place {
  /** Where captured connections arrive. */
  readonly ports: readonly number[];
  /** Whether they arrive by TPROXY, at any address. */
  readonly transparent: boolean;
  readonly limits: WireLimits;
  /** Where it went, before it was led to us; null: nobody led it, or it may not be dialled on. */
  originalOf(accepted: Socket, here: Here): Endpoint | null;
  /** A pod's address to dial `destination` from, for what the relay took from `source`. */
  sourceOf(source: Endpoint, destination: Endpoint, here: Here): Endpoint;
  /** As WireServices.dial. */
  dial(source: Endpoint, destination: Endpoint, here: Here): Socket;
  /** Where nothing is wrapped. */
  dialPlain(options: DialOptions): Socket;
}

export const ON_NODE: Place = {
  ports: [PORTS.mtls],
  transparent: true,
  limits: WIRE_LIMITS,
  originalOf({localAddress: ip, localPort: port}) {
    // Dialled straight to our own port: dialling on would be a loop.
    return ip === undefined || port === undefined || port === PORTS.mtls ? null : {ip, port};
  },
  sourceOf: (source) => source,
  dial: dialAs,
  dialPlain: connectTransparent,
};

const {first, last} = POD_MTLS.ports;
/** The proxy's own, behind which a connection would come to it once more. */
const isOwnPort = (port: number): boolean =>
  (port >= first && port <= last) || port === PORTS.captured || port === PORTS.explicit || port === PORTS.admin;

export const IN_POD: Place = {
  ports: Array.from({length: last - first + 1}, (_, index) => first + index),
  transparent: false,
  limits: POD_WIRE_LIMITS,
  originalOf(accepted, here) {
    const fd = fdOf(accepted);
    const original = fd === null ? null : originalDestination(fd, accepted.remoteFamily === 'IPv6' ? 6 : 4);
    return original === null || isOwnPort(original.port) || !here.has(original.ip) ? null : original;
  },
  sourceOf(source, {ip}, here) {
    // A program that was told of the explicit port comes from loopback; all that leaves is the pod's.
    if (here.has(source.ip) && familyOf(source.ip) === familyOf(ip)) return source;
    const own = [...here.keys()].find((address) => familyOf(address) === familyOf(ip));
    return own === undefined ? source : {ip: own, port: 0};
  },
  dial(source, destination, here) {
    const {ip, port} = destination;
    if (!here.has(ip)) return connect({host: ip, port, allowHalfOpen: true});
    return dialFrom(source, {ip: familyOf(ip) === 4 ? POD_MTLS.here.ip4 : POD_MTLS.here.ip6, port}, null);
  },
  dialPlain: ({destination: {ip, port}, allowHalfOpen}) =>
    connect({host: ip, port, autoSelectFamily: false, allowHalfOpen: allowHalfOpen ?? false}),
};
