/** The inside of a ClientHello: fields and extensions. Lengths must fit to the byte; nothing is skipped over that does not parse. */
import type {TlsHello} from '../policy/index.ts';

/** RFC 1035 §2.3.4: a name has at most 253 characters as text; one more for the trailing dot. */
const MAX_SERVER_NAME_BYTES = 254;
/** Browsers offer two, ALPN-happy clients a handful; more is somebody filling our memory with strings. */
const MAX_ALPN_PROTOCOLS = 64;
const TLS_1_3 = 0x0304;

const EXT_SERVER_NAME = 0;
const EXT_ALPN = 16;
const EXT_SESSION_TICKET = 35;
const EXT_PRE_SHARED_KEY = 41;
const EXT_EARLY_DATA = 42;
const EXT_SUPPORTED_VERSIONS = 43;
/** encrypted_client_hello (RFC 9849), its drafts' code points, and ESNI before them: all hide the real name. */
const EXT_ECH_FIRST_DRAFT = 0xfe08;
const EXT_ECH = 0xfe0d;
const EXT_ESNI = 0xffce;
/** ech_outer_extensions may stand only inside an encrypted hello. */
const EXT_ECH_OUTER = 0xfd00;

/** What a ClientHello says, beyond what the policy asks. GREASE values (RFC 8701) are left out of every list. */
export interface ClientHello extends TlsHello {
  /** legacy_version: 0x0303 in TLS 1.2 and 1.3. */
  readonly legacyVersion: number;
  /** supported_versions, in order; empty where the extension is not there (TLS 1.2 and before). */
  readonly versions: readonly number[];
  readonly supportsTls13: boolean;
  /** The client sends (or asks to send) data before the handshake is done: a replay risk, never accepted. */
  readonly earlyData: boolean;
  /** A session is offered for resumption: a pre-shared key, a non-empty ticket, or (TLS 1.2) a session id. */
  readonly resumes: boolean;
}

/** Why bytes are no ClientHello that we accept. Stable; logged and tested. */
export type HelloError =
  | 'NotTls'
  | 'Sslv2Hello'
  | 'BadRecord'
  | 'InterleavedRecord'
  | 'NotClientHello'
  | 'TooLarge'
  | 'TrailingHandshake'
  | 'BadClientHello'
  | 'DuplicateExtension'
  | 'BadServerName'
  | 'BadAlpn'
  | 'BadVersions'
  | 'BadPreSharedKey';

/** Bytes that are no ClientHello we accept; `message` holds none of them raw. */
export interface BadHello {
  readonly kind: 'bad';
  readonly code: HelloError;
  readonly message: string;
}

export function badHello(code: HelloError, message: string): BadHello {
  return {kind: 'bad', code, message};
}

/** Thrown by Cursor, caught in parseHelloBody; made once, for a stack trace per malformed hello would cost more than the parse. */
const OUT_OF_BOUNDS = new RangeError('a length points beyond its container');

/** Reads length-prefixed vectors (RFC 8446 §3.4). */
class Cursor {
  readonly bytes: Buffer;
  at = 0;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
  get left(): number {
    return this.bytes.length - this.at;
  }
  u8(): number {
    return this.take(1)[0]!;
  }
  u16(): number {
    return this.take(2).readUInt16BE(0);
  }
  take(length: number): Buffer {
    if (length > this.left) throw OUT_OF_BOUNDS;
    const start = this.at;
    this.at += length;
    return this.bytes.subarray(start, this.at);
  }
  vector8(): Buffer {
    return this.take(this.u8());
  }
  vector16(): Buffer {
    return this.take(this.u16());
  }
}

/** RFC 8701: both bytes equal, low nibble A. */
function isGrease(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff);
}

/** `body`: a ClientHello without the handshake header. */
export function parseHelloBody(body: Buffer): ClientHello | BadHello {
  try {
    return read(new Cursor(body));
  } catch (error) {
    if (error === OUT_OF_BOUNDS) return badHello('BadClientHello', 'a length points beyond its container');
    throw error;
  }
}

function read(c: Cursor): ClientHello | BadHello {
  const legacyVersion = c.u16();
  if (legacyVersion >> 8 !== 3) return badHello('BadVersions', `legacy_version 0x${legacyVersion.toString(16)}`);
  c.take(32); // random
  const sessionId = c.vector8();
  if (sessionId.length > 32) return badHello('BadClientHello', 'a session id over 32 bytes');
  const ciphers = c.vector16();
  if (ciphers.length < 2 || ciphers.length % 2 !== 0)
    return badHello('BadClientHello', 'a malformed cipher suite list');
  // Every version demands the null method (RFC 5246 §7.4.1.2; RFC 8446 §4.1.2 allows it alone).
  if (!c.vector8().includes(0)) return badHello('BadClientHello', 'no null compression method');

  const seen = new Set<number>();
  let sni: string | null = null;
  let alpn: readonly string[] = [];
  let versions: readonly number[] = [];
  let ech = false;
  let earlyData = false;
  let psk = false;
  let ticket = false;
  // Hellos of TLS 1.2 and before may end here (RFC 5246 §7.4.1.2).
  const extensions = new Cursor(c.left === 0 ? Buffer.alloc(0) : c.vector16());
  if (c.left !== 0) return badHello('BadClientHello', 'bytes after the extensions');

  while (extensions.left > 0) {
    const type = extensions.u16();
    const value = extensions.vector16();
    // RFC 8446 §4.2: no two of one type. Two readers may each believe another one.
    if (seen.has(type)) return badHello('DuplicateExtension', `extension ${type} twice`);
    seen.add(type);
    // RFC 8446 §4.2.11: pre_shared_key is the last one, for its binders sign what stands before.
    if (psk) return badHello('BadPreSharedKey', 'pre_shared_key is not the last extension');
    switch (type) {
      case EXT_SERVER_NAME: {
        const name = readServerName(new Cursor(value));
        if (typeof name !== 'string') return name;
        sni = name;
        break;
      }
      case EXT_ALPN: {
        const protocols = readAlpn(new Cursor(value));
        if ('kind' in protocols) return protocols;
        alpn = protocols;
        break;
      }
      case EXT_SUPPORTED_VERSIONS: {
        const listed = readVersions(new Cursor(value));
        if ('kind' in listed) return listed;
        versions = listed;
        break;
      }
      case EXT_SESSION_TICKET:
        ticket = value.length > 0;
        break;
      case EXT_PRE_SHARED_KEY:
        psk = true;
        break;
      case EXT_EARLY_DATA:
        earlyData = true;
        break;
      case EXT_ESNI:
        ech = true;
        break;
      case EXT_ECH_OUTER:
        return badHello('BadClientHello', 'ech_outer_extensions outside of an encrypted hello');
      default:
        if (type >= EXT_ECH_FIRST_DRAFT && type <= EXT_ECH) ech = true;
    }
  }
  const supportsTls13 = versions.includes(TLS_1_3);
  // A TLS 1.3 client fills the session id at random for middleboxes (RFC 8446 appendix D.4); there it resumes nothing.
  const resumes = psk || ticket || (!supportsTls13 && sessionId.length > 0);
  return {sni, alpn, ech, legacyVersion, versions, supportsTls13, earlyData, resumes};
}

/** RFC 6066 §3: a list that holds one host_name. Other name types were never defined and cannot be stepped over. */
function readServerName(c: Cursor): string | BadHello {
  const wrong = (why: string): BadHello => badHello('BadServerName', why);
  const list = new Cursor(c.vector16());
  if (c.left !== 0) return wrong('bytes after the server name list');
  if (list.left === 0) return wrong('an empty server name list');
  if (list.u8() !== 0) return wrong('a server name of an unknown type');
  const name = list.vector16();
  if (list.left !== 0) return wrong('more than one server name');
  if (name.length === 0) return wrong('an empty server name');
  if (name.length > MAX_SERVER_NAME_BYTES) return wrong(`a server name of ${name.length} bytes`);
  // NUL and control bytes end or split the name for some readers; bytes over 0x7e are no host name in any (RFC 6066: A-labels).
  for (const byte of name) if (byte <= 0x20 || byte >= 0x7f) return wrong('a server name with bytes of no host name');
  return name.toString('latin1');
}

/** RFC 7301 §3.1: a non-empty list of non-empty names. */
function readAlpn(c: Cursor): readonly string[] | BadHello {
  const list = new Cursor(c.vector16());
  if (c.left !== 0 || list.left === 0) return badHello('BadAlpn', 'a malformed protocol list');
  const protocols: string[] = [];
  while (list.left > 0) {
    const name = list.vector8();
    if (name.length === 0) return badHello('BadAlpn', 'an empty protocol name');
    if (name.length === 2 && isGrease(name.readUInt16BE(0))) continue;
    if (protocols.length === MAX_ALPN_PROTOCOLS) return badHello('BadAlpn', `over ${MAX_ALPN_PROTOCOLS} protocols`);
    protocols.push(name.toString('latin1'));
  }
  return protocols;
}

/** RFC 8446 §4.2.1, the ClientHello's form. */
function readVersions(c: Cursor): readonly number[] | BadHello {
  const list = new Cursor(c.vector8());
  if (c.left !== 0 || list.left < 2 || list.left % 2 !== 0) return badHello('BadVersions', 'a malformed version list');
  const versions: number[] = [];
  while (list.left > 0) {
    const version = list.u16();
    if (!isGrease(version)) versions.push(version);
  }
  return versions;
}
