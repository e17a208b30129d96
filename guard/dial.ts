/** One attempt to have the capture proved: TCP to the proof's address, TLS that only our CA can have signed, one question. */
import {connect as connectTcp, type Socket} from 'node:net';
import {connect as connectTls, type SecureContext, type TLSSocket} from 'node:tls';
import {MAX_PROOF_BYTES, parseProof, PROOF_PATH, type CaptureProof} from '../runtime/capture-proof.ts';
import {PROOF} from '../runtime/names.ts';

export type Answer =
  | {readonly kind: 'proved'; readonly proof: CaptureProof}
  /** No TCP connection; `code` is errno's name, or ETIMEDOUT. */
  | {readonly kind: 'no-connection'; readonly code: string}
  /** Somebody took the connection, and ended it or said nothing. */
  | {readonly kind: 'no-tls'; readonly code: string}
  /** Somebody who is not our proxy answered: the certificate is not by our CA, or not for the name. */
  | {readonly kind: 'not-ours'; readonly why: string}
  /** Our proxy, which does not give the proof. */
  | {readonly kind: 'no-proof'; readonly said: string};

export interface Dial {
  readonly ip: string;
  readonly port: number;
  /** The own address that is spoken from. */
  readonly from: string;
  /** With our CA's certificates as its only roots. */
  readonly context: SecureContext;
  readonly timeoutMs: number;
}

/** Never rejects. The connection is closed when it resolves. */
export function askForProof({ip, port, from, context, timeoutMs}: Dial): Promise<Answer> {
  return new Promise((resolve) => {
    const tcp = connectTcp({host: ip, port, localAddress: from});
    let tls: TLSSocket | null = null;
    const done = (answer: Answer): void => {
      clearTimeout(clock);
      tls?.destroy();
      tcp.destroy();
      resolve(answer);
    };
    const clock = setTimeout(
      () => done(tls === null ? {kind: 'no-connection', code: 'ETIMEDOUT'} : {kind: 'no-tls', code: 'ETIMEDOUT'}),
      timeoutMs,
    );
    tcp.on('error', (error) => done({kind: tls === null ? 'no-connection' : 'no-tls', code: codeOf(error)}));
    tcp.once('connect', () => {
      tls = question(tcp, context, done);
    });
  });
}

/** TLS 1.3, whose server signs a transcript with our fresh random in it (RFC 8446 §4.4.3): nobody can replay that. */
function question(tcp: Socket, secureContext: SecureContext, done: (answer: Answer) => void): TLSSocket {
  const tls = connectTls({socket: tcp, servername: PROOF.name, secureContext, minVersion: 'TLSv1.3'});
  let text = '';
  tls.on('error', (error: NodeJS.ErrnoException) => {
    const code = codeOf(error);
    // An answer that was cut is no answer; before it, what the certificate is refused for.
    done(isOfCertificate(code) ? {kind: 'not-ours', why: error.message} : {kind: 'no-tls', code});
  });
  tls.once('secureConnect', () =>
    tls.write(`GET ${PROOF_PATH} HTTP/1.1\r\nHost: ${PROOF.name}\r\nConnection: close\r\n\r\n`),
  );
  tls.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8');
    if (text.length > MAX_PROOF_BYTES) done({kind: 'no-proof', said: 'more than a proof has'});
  });
  tls.once('end', () => {
    const head = text.indexOf('\r\n\r\n');
    const proof = head < 0 || !text.startsWith('HTTP/1.1 200 ') ? null : parseProof(text.slice(head + 4));
    if (proof !== null) done({kind: 'proved', proof});
    else if (text === '') done({kind: 'no-tls', code: 'ECONNRESET'});
    else done({kind: 'no-proof', said: text.slice(0, text.indexOf('\r\n') >>> 0).slice(0, 100)});
  });
  return tls;
}

export type Reach =
  /** Somebody, the proxy where all TCP is captured, took the connection. */
  | 'taken'
  /** A reset: by whoever has the address, since our lock drops and never resets. */
  | 'reset'
  | 'silent';

/** Whether a TCP connection is taken. */
export function reach(ip: string, port: number, from: string, timeoutMs: number): Promise<Reach> {
  return new Promise((resolve) => {
    const tcp = connectTcp({host: ip, port, localAddress: from});
    const done = (what: Reach): void => {
      clearTimeout(clock);
      tcp.destroy();
      resolve(what);
    };
    const clock = setTimeout(() => done('silent'), timeoutMs);
    tcp.on('error', (error) => done(codeOf(error) === 'ECONNREFUSED' ? 'reset' : 'silent'));
    tcp.once('connect', () => done('taken'));
  });
}

const codeOf = (error: NodeJS.ErrnoException): string => error.code ?? error.message;

/** OpenSSL's X509_V_ERR names as Node has them, and its own for a name that does not fit. */
function isOfCertificate(code: string): boolean {
  return /CERT|SIGNATURE|ISSUER|ALTNAME|HOSTNAME|CHAIN|CRL/.test(code) && !code.startsWith('ERR_SSL_');
}
