/** TLS ended here, with a leaf for the name that the ClientHello claims. */
import {TLSSocket} from 'node:tls';
import {isDecision, type Decision, type TlsHello} from '../../policy/index.ts';
import {PROOF} from '../../runtime/names.ts';
import {refusal} from './answers.ts';
import {serveH1} from './client-h1.ts';
import {serveH2} from './client-h2.ts';
import {ignore, type ClientConnection, type Stage} from './connection.ts';
import {limited} from './core.ts';
import {journalRefusal} from './journal-refusal.ts';
import {judge} from './judge.ts';
import {claimedName} from './naming.ts';

const NOTHING = Buffer.alloc(0);
/** A client that goes this soon after its handshake, without having said anything, did not like our certificate; one that goes later was a spare connection. */
const REJECTION_MS = 1_000;

/**
 * Finish the client's handshake and serve what is inside. `bytes` are the ClientHello, read already; the name is the
 * peeked SNI only: on a resumed TLS 1.2 session Node's `servername` is false. `forced`: a refusal to be told inside.
 */
export function intercept(connection: ClientConnection, bytes: Buffer, hello: TlsHello, forced: Decision | null): void {
  new Handshake(connection, hello, forced).start(bytes);
}

class Handshake implements Stage {
  readonly #connection: ClientConnection;
  readonly #hello: TlsHello;
  readonly #forced: Decision | null;
  readonly #name: string;
  #done = false;
  #error: NodeJS.ErrnoException | null = null;

  constructor(connection: ClientConnection, hello: TlsHello, forced: Decision | null) {
    this.#connection = connection;
    this.#hello = hello;
    this.#forced = forced;
    this.#name = claimedName(connection.ask({kind: 'tls', tls: hello}));
    connection.stage = this;
  }

  start(bytes: Buffer): void {
    const {core, usage} = this.#connection;
    this.#connection.expireIn(core.limits.headTimeoutMs);
    if (core.turns.enter(usage, core.now(), () => this.#begin(bytes))) return;
    limited(core, 'waitingHandshakes');
    this.#fail('LimitExceeded', 'This workload opens TLS connections faster than they can be served.');
  }

  #begin(bytes: Buffer): void {
    const {socket, core, usage} = this.#connection;
    const {leaves} = core.services;
    if (this.#done || socket.destroyed) return;
    if (this.#name === PROOF.name) {
      // Whoever could have us speak under this name for somebody else could forge the guard's proof.
      this.#fail('MalformedRequest', `${PROOF.name} is answered at the proof's own address only (docs/GUARD.md).`);
      return;
    }
    if (leaves.has?.(this.#name) !== true && !core.live.usages.mayMint(usage, core.now())) {
      limited(core, 'mints');
      this.#fail('LimitExceeded', 'This workload asks for certificates of too many new names at once.');
      return;
    }
    let secureContext;
    try {
      secureContext = leaves.context(this.#name, usage.key);
    } catch (error) {
      // A name that is none (or a CA that cannot sign): nothing that a client could believe.
      this.#fail(
        'MalformedRequest',
        `There can be no certificate for the name that this ClientHello claims: ${String((error as Error).message)}`,
      );
      return;
    }
    // Read first by the TLS socket, before what still arrives.
    socket.unshift(bytes);
    this.#connection.expireIn(core.limits.headTimeoutMs);
    const protocols = OURS.filter((protocol) => this.#hello.alpn.includes(protocol));
    const tls = new TLSSocket(socket, {
      isServer: true,
      secureContext,
      requestCert: false,
      // Offering what the client did not ask for would end the handshake (RFC 7301 §3.2); so would offering nothing of its list.
      ...(protocols.length > 0 ? {ALPNProtocols: protocols} : {}),
    });
    tls.on('error', ignore);
    tls.on('_tlsError', (error: Error) => {
      this.#error ??= error;
    });
    // With half-open sockets nobody else would answer a client that leaves in the middle.
    const left = (): void => void tls.destroy();
    tls.once('end', left);
    tls.once('close', this.#closed);
    tls.once('secure', () => {
      if (this.#done || tls.destroyed) return;
      tls.off('end', left);
      tls.off('close', this.#closed);
      core.services.count?.('handshake.done');
      // What tls.Server does for its sockets: node:http2 waits for ever on one that still counts as connecting, and an
      // error of the record layer would leave a socket that nobody closes.
      (tls as {secureConnecting?: boolean}).secureConnecting = false;
      tls.on('_tlsError', left);
      const doneAt = core.now();
      // Clients that verify after the handshake (Node's own; many in TLS 1.3) just go, without a byte and without an alert.
      tls.once('close', () => {
        if (!this.#connection.spoke && core.now() - doneAt < REJECTION_MS) this.#closed();
      });
      const options = {tls: this.#hello, forced: this.#forced};
      if (tls.alpnProtocol === 'h2') serveH2(this.#connection, tls, options);
      else serveH1(this.#connection, tls, {...options, first: NOTHING});
    });
  }

  /** The handshake ended before it was done: by an alert, or without a word, which is how many clients reject a leaf. */
  readonly #closed = (): void => {
    if (this.#done) return;
    const {core} = this.#connection;
    const code = this.#error?.code ?? '';
    if (this.#error !== null && !rejectsLeaf(code)) {
      core.services.count?.('handshake.failed');
      this.#fail(
        'UnsupportedProtocol',
        `The TLS handshake with the client failed (${code === '' ? 'no code' : code}): no version or cipher in common, or no TLS at all.`,
      );
      return;
    }
    core.services.count?.('leaf.rejected');
    this.#remember();
    this.#fail(
      'ClientRejectedLeaf',
      'The client does not accept our certificate: it does not trust the CA, or pins its own. Give it the trust bundle, or write a `tls` rule for this host so that it is passed through.',
    );
  };

  /** While every selecting policy is Audit, this name is passed through for this workload from now on. */
  #remember(): void {
    const {core, workloadKey} = this.#connection;
    const request = {...this.#connection.ask({kind: 'tls', tls: this.#hello}), canInspect: false};
    judge(core, this.#connection, request, (answer) => {
      if (isDecision(answer) && answer.verdict === 'allow' && !answer.enforced) core.audit.add(workloadKey, this.#name);
    });
  }

  #fail(
    reason: 'MalformedRequest' | 'UnsupportedProtocol' | 'ClientRejectedLeaf' | 'LimitExceeded',
    message: string,
  ): void {
    if (this.#done) return;
    this.#done = true;
    const connection = this.#connection;
    const request = connection.ask({kind: 'tls', tls: this.#hello});
    const decision = this.#forced ?? refusal(request.id, reason, message, false);
    journalRefusal(connection, decision, request, 'tls', null, {reason, message});
    connection.destroy();
  }

  expire(): void {
    this.#fail('UnsupportedProtocol', 'The TLS handshake did not finish in time.');
  }

  drain(): void {
    // A handshake under way is finished; its requests are answered with Connection: close.
  }
}

const OURS: readonly string[] = ['h2', 'http/1.1'];

/** RFC 8446 §6.2: the alerts that say "this certificate", as OpenSSL names them; and a connection that just ends. */
function rejectsLeaf(code: string): boolean {
  switch (code) {
    case 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA':
    case 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE':
    case 'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE':
    case 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN':
    case 'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN':
    case 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED':
    case 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED':
    case 'ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE':
    case 'ERR_SSL_TLSV1_ALERT_ACCESS_DENIED':
    case 'ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR':
    case 'ERR_SSL_TLSV1_ALERT_USER_CANCELLED':
    case 'ECONNRESET':
    case 'EPIPE':
      return true;
    default:
      return false;
  }
}
