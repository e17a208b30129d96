/** Every bound of the codec (DESIGN §10.8). All are bytes on the wire or counts; each is one named value with its reason. */
export interface CodecLimits {
  /** Start line, field lines and the empty line together. */
  readonly maxHeadBytes: number;
  readonly maxHeaders: number;
  readonly maxMethodBytes: number;
  readonly maxTargetBytes: number;
  readonly maxTrailerBytes: number;
  /** One chunk's size line, extensions included. */
  readonly maxChunkLineBytes: number;
  readonly maxChunkSizeDigits: number;
  /** All chunk extensions of one body together. */
  readonly maxChunkExtensionBytes: number;
  /** 1xx heads before one final response. */
  readonly maxInformational: number;
}

export const DEFAULT_LIMITS: CodecLimits = {
  // Envoy's default is 60 KiB, nginx's 4 x 8 KiB; Kerberos and cloud tokens reach 48 KiB in one field.
  maxHeadBytes: 65_536,
  // Envoy's default is 100; browsers behind several gateways with one Cookie line each come near it.
  maxHeaders: 200,
  // The longest registered method has 17 letters (UPDATEREDIRECTREF); a token beyond this is no method.
  maxMethodBytes: 32,
  // RFC 9112 §3 asks for at least 8,000; signed URLs of the clouds stay under 16 KiB.
  maxTargetBytes: 16_384,
  // Checksums and grpc-status fit into hundreds of bytes; grpc-message may hold a stack trace.
  maxTrailerBytes: 16_384,
  // Extensions carry nothing that is passed on; signed AWS chunks (aws-chunked) need 90 bytes and are not extensions.
  maxChunkLineBytes: 512,
  // Eight hex digits are chunks up to 4 GiB, and the fixed-width sizes some servers print ("000001f4").
  maxChunkSizeDigits: 8,
  // CVE-2023-39326: extensions are bytes that nobody counts, sent at the cost of whoever reads them.
  maxChunkExtensionBytes: 4_096,
  // A 102 each 20 s for ten minutes (RFC 2518 §10.1), or a handful of 103; more is a flood.
  maxInformational: 32,
};

/** 15 decimal digits: a petabyte, exact in a double. Longer ones overflow somewhere on the way (RFC 9110 §8.6). */
export const MAX_CONTENT_LENGTH_DIGITS = 15;

/** A DNS name has at most 253 bytes, in brackets an address 45; the rest is for ":65535". */
export const MAX_AUTHORITY_BYTES = 262;
