/** What Envoy says of a request or connection, in one plain shape whatever its filter and its settings. What it did not say is null. */
import type {Address} from '../../policy/index.ts';
import type {Fields} from './fields.ts';

/** One end of the connection, as Envoy sees it. */
export interface Peer {
  /** Canonical; null: a pipe, an internal listener, or nothing that is an address. */
  readonly ip: Address | null;
  /** null: not told, or told by a name. */
  readonly port: number | null;
  /** The identity of its certificate, which Envoy verified; null: no mTLS. */
  readonly principal: string | null;
}

export interface AskedHttp {
  readonly method: string;
  /** HTTP/1.0, HTTP/1.1, HTTP/2 or HTTP/3, as Envoy writes it; null: not told. */
  readonly protocol: string | null;
  readonly scheme: string | null;
  readonly host: string | null;
  /** With the query. */
  readonly path: string;
  readonly fields: Fields;
}

export interface Attributes {
  readonly source: Peer;
  readonly destination: Peer;
  /** Of the client's TLS: terminated by Envoy where there is a request, else passed through. */
  readonly sni: string | null;
  /** null: a network filter asks, which has seen no request. */
  readonly http: AskedHttp | null;
  /** What the configuration of this Envoy adds to each question. */
  readonly extensions: Readonly<Record<string, string>>;
}
