/**
 * The answer at the proof's address (docs/adr/0017): a captured pod that dials it is told, over TLS with a leaf of its
 * own, whom the proxy takes it for. No policy is asked, nothing is dialled, and nothing of what was sent is kept.
 */
import {TLSSocket} from 'node:tls';
import type {Workload} from '../../policy/index.ts';
import {PROOF_PATH, type CaptureProof} from '../../runtime/capture-proof.ts';
import {PROOF} from '../../runtime/names.ts';
import {ignore, type ClientConnection, type Stage} from './connection.ts';
import {limited} from './core.ts';

/** Our guard's request is a hundred bytes, curl's two hundred. */
const MAX_REQUEST_BYTES = 4096;

/** Whether a captured connection went to the proof's address, whatever the port. `ip` is canonical. */
export function isProofAddress(ip: string): boolean {
  return ip === PROOF.ip4 || ip === PROOF.ip6;
}

/** Answers `connection`, which is `workload`'s. */
export function prove(
  connection: ClientConnection,
  workload: Workload,
  proofOf: (workload: Workload) => CaptureProof,
): void {
  new Proof(connection, () => proofOf(workload)).start();
}

class Proof implements Stage {
  readonly #connection: ClientConnection;
  readonly #proof: () => CaptureProof;

  constructor(connection: ClientConnection, proof: () => CaptureProof) {
    this.#connection = connection;
    this.#proof = proof;
    connection.stage = this;
    connection.expireIn(connection.core.limits.headTimeoutMs);
  }

  start(): void {
    const {core, usage} = this.#connection;
    if (core.turns.enter(usage, core.now(), () => this.#begin())) return;
    limited(core, 'waitingHandshakes');
    this.#connection.destroy();
  }

  #begin(): void {
    const {socket, core, usage} = this.#connection;
    const {leaves} = core.services;
    if (socket.destroyed) return;
    if (leaves.has?.(PROOF.name) !== true && !core.live.usages.mayMint(usage, core.now())) {
      limited(core, 'mints');
      this.#connection.destroy();
      return;
    }
    let secureContext;
    try {
      secureContext = leaves.context(PROOF.name, usage.key);
    } catch (error) {
      core.services.journal.notice(
        'error',
        'proof.failed',
        `a pod asked for its proof of capture, and no certificate could be made: ${String((error as Error).message)}`,
      );
      this.#connection.destroy();
      return;
    }
    // What the client claims (SNI, ALPN) is not looked at: there is one name here, and one answer.
    const tls = new TLSSocket(socket, {isServer: true, secureContext, requestCert: false});
    const end = (): void => this.#connection.destroy();
    tls.on('error', ignore);
    tls.on('_tlsError', end);
    tls.once('close', end);
    tls.once('secure', () => this.#read(tls));
  }

  #read(tls: TLSSocket): void {
    let head = '';
    const onData = (chunk: Buffer): void => {
      head += chunk.toString('latin1');
      if (head.includes('\r\n\r\n')) {
        tls.off('data', onData);
        this.#answer(tls, head.startsWith(`GET ${PROOF_PATH} HTTP/1.1\r\n`));
      } else if (head.length > MAX_REQUEST_BYTES) this.#connection.destroy();
    };
    tls.on('data', onData);
    tls.once('end', () => tls.end());
  }

  #answer(tls: TLSSocket, found: boolean): void {
    if (found) this.#connection.core.services.count?.('proof.given');
    const body = found ? `${JSON.stringify(this.#proof())}\n` : `There is only ${PROOF_PATH} here.\n`;
    tls.resume();
    tls.end(
      [
        `HTTP/1.1 ${found ? '200 OK' : '404 Not Found'}`,
        `content-type: ${found ? 'application/json' : 'text/plain'}`,
        `content-length: ${Buffer.byteLength(body)}`,
        'cache-control: no-store',
        'connection: close',
        '',
        body,
      ].join('\r\n'),
    );
  }

  expire(): void {
    this.#connection.destroy();
  }

  drain(): void {
    // It is over in a moment.
  }
}
