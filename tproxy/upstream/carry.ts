/** What a leg (one HTTP/1 connection, or one stream of an HTTP/2 session) and the exchange that it carries say to each other. */
import type {Duplex} from 'node:stream';
import type {HeaderLines} from '../../policy/index.ts';
import type {Failure} from './contract.ts';

/** A leg gave up. */
export interface Loss {
  readonly failure: Failure;
  /**
   * Whether the request may be sent again on another leg: `always` where the server has surely not processed it
   * (RFC 9113 §8.7), `idempotent` where nothing came back on a reused connection (RFC 9110 §9.2.2), else `never`.
   */
  readonly retry: 'always' | 'idempotent' | 'never';
}

/** The exchange, as its leg sees it. After `ended`, `upgraded` or `lost` the leg says nothing more. */
export interface Carried {
  informational(status: number, headers: HeaderLines): void;
  head(status: number, headers: HeaderLines, bytes: number | null | 'none'): void;
  /** Returns false: stop until resume(). */
  body(chunk: Buffer): boolean;
  /** The response is whole. */
  ended(trailers: HeaderLines): void;
  upgraded(headers: HeaderLines, stream: Duplex): void;
  drain(): void;
  lost(loss: Loss): void;
}

/** The leg, as the exchange sees it. */
export interface Carrier {
  /** Returns false: wait for drain(). */
  write(chunk: Buffer): boolean;
  end(trailers: HeaderLines): void;
  /** Nothing is called after this. */
  abort(): void;
  resume(): void;
}

/** Where a leg goes. */
export interface LegPlace {
  /** The checked address; null where the parent looked the name up. */
  readonly address: string | null;
  /** `address:port` that was connected to. */
  readonly peer: string;
  readonly proxy: string | null;
  /** `name:port`, for messages. */
  readonly where: string;
  readonly wantsCertificate: boolean;
}
