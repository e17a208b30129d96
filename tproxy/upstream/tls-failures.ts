/** What a failed handshake means, said so that the reader knows whom to ask and what to write. */
import type {X509Certificate} from 'node:crypto';
import type {Failure} from './contract.ts';
import {printable} from '../../runtime/printable.ts';
import {unreachable, untrusted} from './failures.ts';

const WRITE_TLS_RULE = 'what it needs cannot be intercepted: write a `tls` rule for this host';

/** Alerts (RFC 8446 §6.2) by which a server says that it wants, or does not like, a certificate of the client's. */
const CERTIFICATE_ALERTS: ReadonlyMap<number, string> = new Map([
  // TLS 1.2 servers say this where a client certificate is required (RFC 5246 §7.4.6); also for want of a common cipher.
  [40, 'handshake_failure'],
  [42, 'bad_certificate'],
  [43, 'unsupported_certificate'],
  [44, 'certificate_revoked'],
  [45, 'certificate_expired'],
  [46, 'certificate_unknown'],
  [48, 'unknown_ca'],
  [49, 'access_denied'],
  [116, 'certificate_required'],
]);
/** RFC 7301 §3.2: the server has none of the protocols that were offered. */
const NO_APPLICATION_PROTOCOL = 120;

const OTHER_ALERTS: ReadonlyMap<number, string> = new Map([
  [70, 'protocol_version: it speaks only TLS 1.1 or older'],
  [71, 'insufficient_security'],
  [80, 'internal_error'],
  [112, 'unrecognized_name: it does not serve this name'],
  [NO_APPLICATION_PROTOCOL, 'no_application_protocol: it speaks neither HTTP/1.1 nor HTTP/2'],
]);

/** The TLS alert in an OpenSSL error, which says `SSL alert number N` at its end; null: none. */
export function alertNumber(error: Error): number | null {
  const marker = 'SSL alert number ';
  const at = error.message.lastIndexOf(marker);
  if (at < 0) return null;
  const number = Number.parseInt(error.message.slice(at + marker.length), 10);
  return Number.isNaN(number) ? null : number;
}

export const isAlpnRefusal = (error: Error): boolean => alertNumber(error) === NO_APPLICATION_PROTOCOL;

/** The verify code of a certificate that is good and for others; Node's own name for it. */
export const WRONG_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID';

/** The connection ended where the server had asked for a client certificate and we have none. */
export const wantsClientCertificate = (where: string): Failure =>
  untrusted(`${where} asks for a client certificate, which only the client has; ${WRITE_TLS_RULE}`);

/** A handshake that ended with an error or an alert. `where` is `name:port` or the parent proxy. */
export function handshakeFailure(where: string, error: NodeJS.ErrnoException): Failure {
  const alert = alertNumber(error);
  if (alert !== null) {
    const name = CERTIFICATE_ALERTS.get(alert);
    if (alert === 40)
      return untrusted(
        `${where} refused the TLS handshake (alert ${name}), as servers do that want a client certificate; ${WRITE_TLS_RULE}`,
      );
    if (name !== undefined) return untrusted(`${where} wants a client certificate (alert ${name}); ${WRITE_TLS_RULE}`);
    return unreachable(`${where} refused the TLS handshake (alert ${OTHER_ALERTS.get(alert) ?? alert})`);
  }
  switch (error.code) {
    case 'ECONNRESET':
    case 'EPIPE':
      return unreachable(`${where} closed the connection during the TLS handshake`);
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
    case 'ERR_SSL_RECORD_LAYER_FAILURE':
      return unreachable(`${where} does not speak TLS; if it is plain HTTP, ask for http://`);
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
      return unreachable(`${where} speaks only TLS 1.1 or older, which is refused (RFC 8996)`);
    default:
      return unreachable(`the TLS handshake with ${where} failed (${printable(error.code ?? error.message, 80)})`);
  }
}

function named(certificate: X509Certificate | undefined): string {
  if (certificate === undefined) return 'no certificate';
  const oneLine = (text: string | undefined): string =>
    text === undefined || text === '' ? '(empty)' : printable(text.replaceAll('\n', ', '));
  return `certificate for ${oneLine(certificate.subject)}, issued by ${oneLine(certificate.issuer)}`;
}

/** A certificate that does not hold. `code` is OpenSSL's verify code or ERR_TLS_CERT_ALTNAME_INVALID. */
export function certificateFailure(
  where: string,
  name: string,
  code: string,
  certificate: X509Certificate | undefined,
): Failure {
  const from = `the ${named(certificate)}`;
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      // Of the chain; the leaf's own date is the likely one and is shown.
      return untrusted(
        `${where} has an expired certificate: ${from}, was valid until ${certificate?.validTo ?? '?'}; its operator must renew it`,
      );
    case 'CERT_NOT_YET_VALID':
      return untrusted(
        `${where} has a certificate that is not valid yet: ${from}, is valid from ${certificate?.validFrom ?? '?'}; compare the clocks`,
      );
    case WRONG_NAME: {
      const names = certificate?.subjectAltName === undefined ? 'no name' : printable(certificate.subjectAltName);
      return untrusted(`${where} has a certificate for other names: ${from}, holds ${names} and not ${name}`);
    }
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return untrusted(`${where} has a self-signed certificate: ${from}; to trust it, add it to --upstream-ca`);
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return untrusted(
        `${where} has a certificate of an issuer that is not trusted: ${from}; to trust its CA, add that to --upstream-ca`,
      );
    default:
      return untrusted(`${where} has a certificate that does not verify (${printable(code, 60)}): ${from}`);
  }
}
