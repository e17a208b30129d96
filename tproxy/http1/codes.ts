/**
 * Why bytes are no message: the closed set of codes, each with the rule it upholds. The text goes to logs and to the
 * client, so nothing of what was sent is in it (DESIGN §10.9); the offset says where to look.
 */
export const MALFORMED = {
  // Lines
  BareLf: 'a line must end with CRLF; a lone LF is refused because other parsers disagree about it (RFC 9112 §2.2)',
  BareCr: 'a CR that is not followed by LF (RFC 9112 §2.2)',
  HeadTooLarge: 'the start line and header fields exceed the limit (RFC 9110 §5.4)',
  TooManyHeaders: 'more header fields than the limit (RFC 9110 §5.4)',
  // Request line
  BadRequestLine: 'a request line is method SP request-target SP HTTP-version, with single spaces (RFC 9112 §3)',
  BadMethod: 'a method is a token of limited length (RFC 9110 §9.1)',
  BadTarget: 'a request target holds visible ASCII characters only (RFC 9112 §3.2, RFC 3986 §2)',
  FragmentInTarget: 'a request target has no fragment (RFC 9112 §3.2)',
  TargetTooLong: 'the request target exceeds the limit (RFC 9112 §3)',
  BadTargetForm: 'the request target is of no form that this method may have (RFC 9112 §3.2)',
  BadVersion: 'the version must be HTTP/1.0 or HTTP/1.1 (RFC 9112 §2.3)',
  // Field lines
  ObsFold: 'a field line must not begin with white space (RFC 9112 §2.2, §5.2)',
  MissingColon: 'a field line is a name, a colon and a value (RFC 9112 §5)',
  EmptyFieldName: 'a field name is a token of at least one character (RFC 9110 §5.1)',
  BadFieldName: 'a field name is a token (RFC 9110 §5.1)',
  SpaceBeforeColon: 'no white space between a field name and its colon (RFC 9112 §5.1)',
  BadFieldValue: 'a field value holds no control characters (RFC 9110 §5.5)',
  // Host
  MissingHost: 'an HTTP/1.1 request has a Host field (RFC 9112 §3.2)',
  DuplicateHost: 'a request has one Host field line (RFC 9112 §3.2)',
  BadHost: 'Host is a host name or bracketed address with an optional port (RFC 9110 §7.2)',
  // Framing
  BadContentLength: 'Content-Length is decimal digits, of limited length (RFC 9110 §8.6)',
  DuplicateContentLength: 'a message has one Content-Length field with one value (RFC 9112 §6.3)',
  LengthAndEncoding: 'a message has not both Content-Length and Transfer-Encoding (RFC 9112 §6.1)',
  DuplicateTransferEncoding: 'a message has one Transfer-Encoding field line (RFC 9112 §6.1)',
  UnsupportedCoding: 'the only transfer coding understood is one "chunked" (RFC 9112 §6.1, §7)',
  FramingLookalike:
    'a field whose name is a framing field’s with "_" for "-": servers that make variables of names read it as that (RFC 3875 §4.1.18)',
  EncodingInHttp10: 'HTTP/1.0 has no Transfer-Encoding (RFC 9112 §6.1)',
  LengthRequired: 'an HTTP/1.0 request of this method needs a Content-Length (RFC 1945 §7.2.2)',
  BodyNotAllowed: 'a response of this status has no body to announce (RFC 9110 §8.6, RFC 9112 §6.1)',
  BadConnection: 'Connection is a list of tokens (RFC 9110 §7.6.1)',
  ConnectionNamesEndToEnd: 'Connection must not name a field that is meant for the recipient (RFC 9110 §7.6.1)',
  BadUpgrade: 'Upgrade is a list of protocol names (RFC 9110 §7.8)',
  UpgradeWithBody:
    'a request that asks for an upgrade has no body here: what follows it would be read in two ways (RFC 9110 §7.8)',
  ConnectWithBody: 'a CONNECT request has no body (RFC 9110 §9.3.6)',
  // Chunked bodies
  BadChunkSize: 'a chunk size is hex digits alone (RFC 9112 §7.1)',
  ChunkSizeTooLong: 'a chunk size has too many digits (RFC 9112 §7.1)',
  BadChunkExtension: 'chunk extensions are ;name or ;name=value, without white space (RFC 9112 §7.1.1)',
  ChunkLineTooLong: 'the line of a chunk exceeds the limit (RFC 9112 §7.1.1)',
  ChunkExtensionsTooLarge: 'the chunk extensions of a body exceed the limit (RFC 9112 §7.1.1)',
  BadChunkEnd: 'the data of a chunk is followed by CRLF (RFC 9112 §7.1)',
  TrailersTooLarge: 'the trailer section exceeds the limit (RFC 9110 §6.5.1)',
  ForbiddenTrailer:
    'a field that frames, routes, authenticates or changes the meaning of a message is no trailer (RFC 9110 §6.5.1)',
  // Responses
  BadStatusLine: 'a status line is HTTP-version SP status-code SP reason (RFC 9112 §4)',
  BadStatus: 'a status code is from 100 to 599 (RFC 9110 §15)',
  InformationalInHttp10: 'HTTP/1.0 has no 1xx responses (RFC 9110 §15.2)',
  TooManyInformational: 'more 1xx responses before the final one than the limit (RFC 9110 §15.2)',
  UnaskedSwitch: '101 answers only a request that asked for an upgrade (RFC 9110 §15.2.2)',
  BadSwitch: '101 names the protocol that it switches to (RFC 9110 §15.2.2)',
  UnaskedResponse: 'bytes came that answer no request (RFC 9112 §9.2)',
  NoResponse: 'the connection ended before the first byte of the response (RFC 9112 §9.6)',
  Truncated: 'the connection ended in the middle of a message (RFC 9112 §8)',
} as const satisfies Readonly<Record<string, string>>;

export type MalformedCode = keyof typeof MALFORMED;

/** The event for a code, at an offset in the connection's bytes. */
export function malformed(
  code: MalformedCode,
  at: number,
): {readonly kind: 'bad'; readonly code: MalformedCode; readonly message: string; readonly at: number} {
  return {kind: 'bad', code, message: `${code}: ${MALFORMED[code]}`, at};
}
