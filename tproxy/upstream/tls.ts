/** TLS to a server or to a parent proxy: the handshake, the verification, and sessions for resumption. */
import {X509Certificate} from 'node:crypto';
import {isIP, type Socket} from 'node:net';
import {connect, type ConnectionOptions, type TLSSocket} from 'node:tls';
import {LRUCache} from 'lru-cache';
import type {Failure} from './contract.ts';
import {hostPort, unreachable} from './failures.ts';
import {LIMITS} from './limits.ts';
import type {Roots} from './roots.ts';
import {certificateFailure, handshakeFailure, isAlpnRefusal, WRONG_NAME} from './tls-failures.ts';

export interface TlsTarget {
  /** The name that the certificate must hold (SNI too), or an IP literal (an IP SAN, no SNI: RFC 6066 §3). */
  readonly name: string;
  readonly port: number;
  /** In order of preference; empty: none is offered (to a parent). */
  readonly alpn: readonly string[];
  readonly roots: Roots;
  /** Whose sessions may be resumed: name, port, parent, roots and workload, never less. */
  readonly sessionKey: string;
}

/** A verified connection. */
export interface Secured {
  readonly socket: TLSSocket;
  readonly protocol: 'h1' | 'h2';
  /** The server sent a CertificateRequest: if it closes before it answers, that is why. */
  readonly wantsCertificate: boolean;
}

export type TlsResult =
  Secured | {readonly failure: Failure; /** None of our protocols: offer others. */ readonly alpnRefused: boolean};

export interface TlsClient {
  /** Verifies before it says done: no byte of a request is written to `socket` earlier. `done` is called once, later. */
  secure(socket: Socket, target: TlsTarget, done: (result: TlsResult) => void): {cancel(): void};
}

/**
 * RFC 9525 §6: the names are the subjectAltName's. Node's own check falls back to the subject's CN where there is none,
 * which no public CA has meant for years; so OpenSSL is asked, without CN and without partial wildcards (`f*.test`).
 */
function holdsName(certificate: X509Certificate, name: string): boolean {
  if (isIP(name) !== 0) return certificate.checkIP(name) !== undefined;
  return certificate.checkHost(name, {subject: 'never', partialWildcards: false}) !== undefined;
}

class WrongName extends Error {
  readonly code = WRONG_NAME;
}

function handshake(
  socket: Socket,
  target: TlsTarget,
  sessions: LRUCache<string, Buffer>,
  timeoutMs: number,
  done: (result: TlsResult) => void,
): {cancel(): void} {
  const where = hostPort(target.name, target.port);
  let over = false;
  let certificate: X509Certificate | undefined;
  const options: ConnectionOptions = {
    socket,
    secureContext: target.roots.context,
    // We look at the verdict ourselves before anything is written, because Node's refusal drops the certificate it is about.
    rejectUnauthorized: false,
    checkServerIdentity: (_host, {raw}) => {
      certificate = new X509Certificate(raw);
      return holdsName(certificate, target.name) ? undefined : new WrongName();
    },
  };
  if (target.alpn.length > 0) options.ALPNProtocols = [...target.alpn];
  if (isIP(target.name) === 0) options.servername = target.name;
  const session = sessions.get(target.sessionKey);
  if (session !== undefined) options.session = session;
  const tls = connect(options);

  const finish = (result: TlsResult): void => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    tls.removeListener('error', onError);
    tls.removeListener('close', onClose);
    if ('failure' in result) {
      tls.once('error', () => {});
      tls.destroy();
      socket.destroy();
      // Whatever was wrong may be the session's fault (another server behind the name now).
      sessions.delete(target.sessionKey);
    }
    done(result);
  };
  const failed = (failure: Failure): void => finish({failure, alpnRefused: false});
  const onError = (error: NodeJS.ErrnoException): void =>
    finish({failure: handshakeFailure(where, error), alpnRefused: isAlpnRefusal(error)});
  const onClose = (): void => failed(unreachable(`${where} closed the connection during the TLS handshake`));
  const timer = setTimeout(() => failed(unreachable(`${where} did not finish the TLS handshake in time`)), timeoutMs);

  tls.on('error', onError);
  tls.on('close', onClose);
  tls.once('secureConnect', () => {
    if (!tls.authorized) {
      // Not called where the chain does not hold. (getPeerX509Certificate() would answer only once.)
      const raw = certificate === undefined ? tls.getPeerCertificate().raw : undefined;
      if (raw !== undefined) certificate = new X509Certificate(raw);
      failed(certificateFailure(where, target.name, String(tls.authorizationError), certificate));
      return;
    }
    // On the client these are the algorithms of a CertificateRequest (RFC 8446 §4.3.2), the only trace that Node shows of it.
    const wantsCertificate = tls.getSharedSigalgs().length > 0;
    finish({socket: tls, protocol: tls.alpnProtocol === 'h2' ? 'h2' : 'h1', wantsCertificate});
  });
  // Emitted after secureConnect, in TLS 1.3 with every ticket; the last one is kept, and only of a verified connection.
  tls.on('session', (ticket: Buffer) => {
    if (over && tls.authorized && !tls.destroyed) sessions.set(target.sessionKey, ticket);
  });
  return {
    cancel: () => {
      over = true;
      clearTimeout(timer);
      tls.removeListener('error', onError);
      tls.on('error', () => {});
      tls.destroy();
      socket.destroy();
    },
  };
}

/** A TLS client with one bounded session cache. `handshakeTimeoutMs` is for tests. */
export function createTlsClient(handshakeTimeoutMs: number = LIMITS.handshakeTimeoutMs): TlsClient {
  const sessions = new LRUCache<string, Buffer>({max: LIMITS.maxTlsSessions, ttl: LIMITS.tlsSessionMs});
  return {secure: (socket, target, done) => handshake(socket, target, sessions, handshakeTimeoutMs, done)};
}
