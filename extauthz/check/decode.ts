/**
 * CheckRequest (envoy/service/auth/v3/external_auth.proto, attribute_context.proto) to Attributes, without the message in
 * between. Bodies, certificates, labels and metadata are left behind unread. As protobuf has it: of a field that comes twice
 * the last counts, two messages of one field are one, a field that is not known is skipped.
 */
import {canonicalAddress, type Address} from '../../policy/index.ts';
import type {AskedHttp, Attributes, Peer} from './attributes.ts';
import {fieldsOfLines, fieldsOfMap} from './fields.ts';
import {WireReader} from './wire.ts';

const DELIMITED = 2;
const VARINT = 0;
const tag = (field: number, type: number): number => (field << 3) | type;

const CHECK_REQUEST = {attributes: tag(1, DELIMITED)};
const CONTEXT = {
  source: tag(1, DELIMITED),
  destination: tag(2, DELIMITED),
  request: tag(4, DELIMITED),
  contextExtensions: tag(10, DELIMITED),
  tlsSession: tag(12, DELIMITED),
};
const PEER = {address: tag(1, DELIMITED), service: tag(2, DELIMITED), principal: tag(4, DELIMITED)};
const ADDRESS = {socketAddress: tag(1, DELIMITED), pipe: tag(2, DELIMITED), internal: tag(3, DELIMITED)};
const SOCKET_ADDRESS = {address: tag(2, DELIMITED), portValue: tag(3, VARINT), namedPort: tag(4, DELIMITED)};
const REQUEST = {http: tag(2, DELIMITED)};
const HTTP = {
  method: tag(2, DELIMITED),
  headers: tag(3, DELIMITED),
  path: tag(4, DELIMITED),
  host: tag(5, DELIMITED),
  scheme: tag(6, DELIMITED),
  protocol: tag(10, DELIMITED),
  headerMap: tag(13, DELIMITED),
};
const HEADER_MAP = {headers: tag(1, DELIMITED)};
const HEADER_VALUE = {key: tag(1, DELIMITED), value: tag(2, DELIMITED), rawValue: tag(3, DELIMITED)};
const ENTRY = {key: tag(1, DELIMITED), value: tag(2, DELIMITED)};
const TLS_SESSION = {sni: tag(1, DELIMITED)};

interface PeerSoFar {
  /** null: no socket address. */
  address: string | null;
  /** null: by a name, or none. */
  port: number | null;
  service: string;
  principal: string;
}

interface HttpSoFar {
  method: string;
  path: string;
  host: string;
  scheme: string;
  protocol: string;
  /** `headers`. */
  map: Map<string, string> | null;
  /** `header_map`. */
  lines: string[];
}

const nobody = (): PeerSoFar => ({address: null, port: null, service: '', principal: ''});

/** Throws RangeError for bytes that are no CheckRequest. */
export function readCheck(message: Uint8Array): Attributes {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const source = nobody();
  const destination = nobody();
  let http: HttpSoFar | null = null;
  let sni = '';
  let extensions: Record<string, string> | null = null;
  const outer = new WireReader(bytes, 0, bytes.length);
  for (let field = outer.tag(); field !== 0; field = outer.tag()) {
    if (field !== CHECK_REQUEST.attributes) {
      outer.skip(field);
      continue;
    }
    const context = outer.message();
    for (let inner = context.tag(); inner !== 0; inner = context.tag()) {
      switch (inner) {
        case CONTEXT.source:
          readPeer(context.message(), source);
          break;
        case CONTEXT.destination:
          readPeer(context.message(), destination);
          break;
        case CONTEXT.request:
          http = readRequest(context.message(), http);
          break;
        case CONTEXT.contextExtensions: {
          const {key, value} = readEntry(context.message(), false);
          // Without a prototype, so that any key is just a key.
          extensions ??= Object.create(null) as Record<string, string>;
          extensions[key] = value;
          break;
        }
        case CONTEXT.tlsSession:
          sni = readSni(context.message(), sni);
          break;
        default:
          context.skip(inner);
      }
    }
  }
  return {
    source: peerOf(source),
    destination: peerOf(destination),
    // Where an AuthorizationPolicy makes the filter, the SNI is in destination.service alone.
    sni: told(sni) ?? (http === null ? told(destination.service) : null),
    http: http === null ? null : askedOf(http),
    extensions: extensions ?? NO_EXTENSIONS,
  };
}

const NO_EXTENSIONS: Readonly<Record<string, string>> = {};

function readPeer(reader: WireReader, peer: PeerSoFar): void {
  for (let field = reader.tag(); field !== 0; field = reader.tag()) {
    switch (field) {
      case PEER.address:
        readAddress(reader.message(), peer);
        break;
      case PEER.service:
        peer.service = reader.text();
        break;
      case PEER.principal:
        peer.principal = reader.text();
        break;
      default:
        reader.skip(field);
    }
  }
}

function readAddress(reader: WireReader, peer: PeerSoFar): void {
  for (let field = reader.tag(); field !== 0; field = reader.tag()) {
    switch (field) {
      case ADDRESS.socketAddress:
        peer.address ??= '';
        readSocketAddress(reader.message(), peer);
        break;
      case ADDRESS.pipe:
      case ADDRESS.internal:
        reader.skip(field);
        peer.address = null;
        peer.port = null;
        break;
      default:
        reader.skip(field);
    }
  }
}

function readSocketAddress(reader: WireReader, peer: PeerSoFar): void {
  for (let field = reader.tag(); field !== 0; field = reader.tag()) {
    switch (field) {
      case SOCKET_ADDRESS.address:
        peer.address = reader.text();
        break;
      case SOCKET_ADDRESS.portValue:
        peer.port = reader.varint();
        break;
      case SOCKET_ADDRESS.namedPort:
        reader.skip(field);
        peer.port = null;
        break;
      default:
        reader.skip(field);
    }
  }
}

function readRequest(reader: WireReader, before: HttpSoFar | null): HttpSoFar | null {
  let http = before;
  for (let field = reader.tag(); field !== 0; field = reader.tag()) {
    if (field !== REQUEST.http) {
      reader.skip(field);
      continue;
    }
    http ??= {method: '', path: '', host: '', scheme: '', protocol: '', map: null, lines: []};
    readHttp(reader.message(), http);
  }
  return http;
}

function readHttp(reader: WireReader, http: HttpSoFar): void {
  for (let field = reader.tag(); field !== 0; field = reader.tag()) {
    switch (field) {
      case HTTP.method:
        http.method = reader.text();
        break;
      case HTTP.path:
        http.path = reader.text();
        break;
      case HTTP.host:
        http.host = reader.text();
        break;
      case HTTP.scheme:
        http.scheme = reader.text();
        break;
      case HTTP.protocol:
        http.protocol = reader.text();
        break;
      case HTTP.headers: {
        const {key, value} = readEntry(reader.message(), true);
        (http.map ??= new Map<string, string>()).set(key, value);
        break;
      }
      case HTTP.headerMap: {
        const map = reader.message();
        for (let inner = map.tag(); inner !== 0; inner = map.tag()) {
          if (inner === HEADER_MAP.headers) readHeaderValue(map.message(), http.lines);
          else map.skip(inner);
        }
        break;
      }
      default:
        reader.skip(field);
    }
  }
}

function readHeaderValue(reader: WireReader, into: string[]): void {
  let key = '';
  let value = '';
  let raw = '';
  for (let field = reader.tag(); field !== 0; field = reader.tag()) {
    switch (field) {
      case HEADER_VALUE.key:
        key = reader.text();
        break;
      case HEADER_VALUE.value:
        value = reader.latin1();
        break;
      case HEADER_VALUE.rawValue:
        raw = reader.latin1();
        break;
      default:
        reader.skip(field);
    }
  }
  // An empty field has neither.
  into.push(key, raw === '' ? value : raw);
}

/** `asBytes`: the value is a field's, bytes as Latin-1 text. */
function readEntry(reader: WireReader, asBytes: boolean): {key: string; value: string} {
  let key = '';
  let value = '';
  for (let field = reader.tag(); field !== 0; field = reader.tag()) {
    switch (field) {
      case ENTRY.key:
        key = reader.text();
        break;
      case ENTRY.value:
        value = asBytes ? reader.latin1() : reader.text();
        break;
      default:
        reader.skip(field);
    }
  }
  return {key, value};
}

function readSni(reader: WireReader, before: string): string {
  let sni = before;
  for (let field = reader.tag(); field !== 0; field = reader.tag()) {
    if (field === TLS_SESSION.sni) sni = reader.text();
    else reader.skip(field);
  }
  return sni;
}

function peerOf({address, port, principal}: PeerSoFar): Peer {
  return {ip: address === null ? null : canonical(address), port, principal: told(principal)};
}

function askedOf({method, path, host, scheme, protocol, map, lines}: HttpSoFar): AskedHttp {
  const fields = lines.length > 0 || map === null ? fieldsOfLines(lines) : fieldsOfMap(map);
  return {
    method,
    protocol: told(protocol),
    scheme: told(scheme),
    host: told(host),
    // Raw where it is to be had: Envoy writes `!` for bytes that are no UTF-8 elsewhere.
    path: fields.path ?? path,
    fields,
  };
}

/** proto3 has no null: an empty text was not told. */
const told = (text: string): string | null => (text === '' ? null : text);

/** Addresses come again and again, each written in one way. */
const canonicals = new Map<string, Address | null>();
const MAX_CANONICALS = 4_096;
const MAX_ADDRESS_CHARACTERS = 64;

function canonical(text: string): Address | null {
  const known = canonicals.get(text);
  if (known !== undefined) return known;
  const address = canonicalAddress(text.startsWith('::ffff:') && text.includes('.') ? text.slice(7) : text);
  if (canonicals.size >= MAX_CANONICALS) canonicals.clear();
  if (text.length <= MAX_ADDRESS_CHARACTERS) canonicals.set(text, address);
  return address;
}
