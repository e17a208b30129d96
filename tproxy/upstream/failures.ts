/** Failures of allowed traffic, as the client and the log see them. */
import type {Failure} from './contract.ts';

/** Nobody there, or nobody who speaks what was asked for. */
export const unreachable = (message: string): Failure => ({reason: 'UpstreamUnreachable', message});
/** The server's certificate does not hold, or it wants one of ours: what interception cannot carry. */
export const untrusted = (message: string): Failure => ({reason: 'UpstreamUntrusted', message});
/** What came back is no HTTP that only one reading has. */
export const malformed = (message: string): Failure => ({reason: 'UpstreamMalformed', message});
/** The parent proxy answered, and its answer is no. */
export const proxyRefused = (message: string): Failure => ({reason: 'UpstreamProxyRefused', message});

/** `host:port`, an IPv6 literal in brackets (RFC 3986 §3.2.2). */
export const hostPort = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
