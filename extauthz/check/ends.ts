/**
 * The ends of a connection, one value for those that come again: Envoy does not say which requests share a connection, and
 * what is kept by these values (the log's texts) is found again by them.
 */
import type {Address, Destination, Endpoint} from '../../policy/index.ts';

/** Enough for the connections of a busy moment; more are made anew. */
const MAX_KEPT = 4_096;

const sources = new Map<string, Endpoint>();
const destinations = new Map<string, Destination>();

export function sourceOf(ip: Address, port: number): Endpoint {
  return kept(sources, `${ip} ${port}`, () => ({ip, port}));
}

/** The address that Envoy dials. */
export function destinationOf(ip: Address, port: number): Destination {
  return kept(destinations, `${ip} ${port}`, () => ({ip, port, host: null}));
}

function kept<T>(values: Map<string, T>, key: string, make: () => T): T {
  let value = values.get(key);
  if (value !== undefined) return value;
  if (values.size >= MAX_KEPT) values.clear();
  values.set(key, (value = make()));
  return value;
}
