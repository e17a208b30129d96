/** A refusal as gRPC says it (POLICY.md): the same whoever answers. */
import {statusOf, type Reason} from '../policy/index.ts';

/** 7 PERMISSION_DENIED; 3 INVALID_ARGUMENT for what is a 400 elsewhere, 14 UNAVAILABLE for a 502 or 503. */
export function grpcStatus(reason: Reason): number {
  const status = statusOf(reason);
  if (status === 400) return 3;
  return status === 502 || status === 503 ? 14 : 7;
}

/** Percent-encoding of the gRPC wire protocol: space to ~ but % as they are, all other bytes of the UTF-8 escaped. */
export function grpcMessage(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text)) {
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

/** Whether a request is gRPC by its content-type (application/grpc, +proto, -web is not one). */
export function isGrpc(contentType: string | undefined): boolean {
  if (contentType === undefined || contentType.length < 16) return false;
  const lower = contentType.toLowerCase();
  if (!lower.startsWith('application/grpc')) return false;
  const next = lower.charCodeAt(16);
  // End of text, '+', ';' or ' ': application/grpc-web is answered as HTTP.
  return Number.isNaN(next) || next === 0x2b || next === 0x3b || next === 0x20;
}
