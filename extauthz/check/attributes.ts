/** What Envoy says of a request or connection, in one plain shape whatever its filter and its settings. What it did not say is null. */
import {fromBinary} from '@bufbuild/protobuf';
import {canonicalAddress, type Address, type HeaderLines} from '../../policy/index.ts';
import type {Address as AddressMessage} from '../gen/envoy/config/core/v3/address_pb.js';
import type {
  AttributeContext_HttpRequest,
  AttributeContext_Peer,
} from '../gen/envoy/service/auth/v3/attribute_context_pb.js';
import {CheckRequestSchema} from '../gen/envoy/service/auth/v3/external_auth_pb.js';
import {linesOfMap, linesOfRaw, type Fields} from './fields.ts';

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

/** Decodes a CheckRequest. Throws for bytes that are none. Bodies are not looked at. */
export function readCheck(message: Uint8Array): Attributes {
  const {attributes} = fromBinary(CheckRequestSchema, message, {readUnknownFields: false});
  const http = attributes?.request?.http;
  return {
    source: readPeer(attributes?.source),
    destination: readPeer(attributes?.destination),
    // Where an AuthorizationPolicy makes the filter, the SNI is in destination.service alone.
    sni: told(attributes?.tlsSession?.sni) ?? (http === undefined ? told(attributes?.destination?.service) : null),
    http: http === undefined ? null : readHttp(http),
    extensions: attributes?.contextExtensions ?? {},
  };
}

const NOBODY: Peer = {ip: null, port: null, principal: null};

function readPeer(peer: AttributeContext_Peer | undefined): Peer {
  if (peer === undefined) return NOBODY;
  const principal = told(peer.principal);
  const {ip, port} = readAddress(peer.address);
  return {ip, port, principal};
}

function readAddress(address: AddressMessage | undefined): {ip: Address | null; port: number | null} {
  if (address?.address.case !== 'socketAddress') return {ip: null, port: null};
  const {address: text, portSpecifier} = address.address.value;
  return {
    ip: canonicalAddress(text.startsWith('::ffff:') && text.includes('.') ? text.slice(7) : text),
    port: portSpecifier.case === 'portValue' ? portSpecifier.value : null,
  };
}

function readHttp(http: AttributeContext_HttpRequest): AskedHttp {
  const raw = http.headerMap?.headers;
  const fields = raw === undefined || raw.length === 0 ? linesOfMap(http.headers) : linesOfRaw(raw);
  return {
    method: http.method,
    protocol: told(http.protocol),
    scheme: told(http.scheme),
    host: told(http.host),
    // Raw where it is to be had: Envoy writes `!` for bytes that are no UTF-8 elsewhere.
    path: fields.path ?? http.path,
    fields,
  };
}

/** proto3 has no null: an empty text was not told. */
const told = (text: string | undefined): string | null => (text === undefined || text === '' ? null : text);

export type {HeaderLines};
