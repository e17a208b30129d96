/**
 * A connection of which nothing has been read: what it turns out to be, and what then becomes of it. Captured
 * connections start here, and tunnels that a CONNECT opened. Nothing is dialled before an allowing decision.
 *
 * 1. A rule that looks at no bytes may carry it at once (tcp).
 * 2. The first bytes say what it is; none in time means that the server speaks first.
 * 3. TLS is passed through, intercepted or refused; HTTP is served; the rest is carried by tcp rules only.
 */
import {isDecision, type Decision, type EgressRequest, type TlsHello} from '../../policy/index.ts';
import {refusal} from './answers.ts';
import type {ClientConnection, Stage} from './connection.ts';
import {serveH1} from './client-h1.ts';
import {serveH2} from './client-h2.ts';
import {Detector} from './detect.ts';
import {intercept} from './intercept.ts';
import {journalRefusal} from './journal-refusal.ts';
import {judge, unanswerable, type Answer} from './judge.ts';
import {claimedName} from './naming.ts';
import {openTunnel} from './tunnel.ts';

const NOTHING: Buffer = Buffer.alloc(0);

export class FirstBytes implements Stage {
  readonly #connection: ClientConnection;
  /** A refusal that is fixed already: only the way to tell it to the client is looked for. */
  readonly #forced: Decision | null;
  readonly #detector = new Detector();
  #silence: NodeJS.Timeout | null = null;
  /** What a silent client is refused with when its time is up. */
  #silentDenial: {readonly decision: Decision; readonly request: EgressRequest} | null = null;
  #protocol: 'tls' | 'http1' | 'unknown' = 'unknown';
  #settled = false;

  constructor(connection: ClientConnection, forced: Decision | null) {
    this.#connection = connection;
    this.#forced = forced;
    connection.stage = this;
    connection.expireIn(connection.core.limits.headTimeoutMs);
  }

  /** `first`: what was read already (a tunnel's bytes behind its CONNECT). */
  start(first: Buffer): void {
    if (this.#forced !== null) {
      this.#read(first);
      return;
    }
    const connection = this.#connection;
    const request = connection.ask({kind: 'unread'});
    judge(connection.core, connection, request, (answer) => {
      if (connection.socket.destroyed) return;
      // A denial is asked for again with what the client speaks, so that it can be told in that.
      if (isDecision(answer) && answer.verdict === 'allow') this.#tunnel(request, answer, first);
      else this.#read(first);
    });
  }

  #read(first: Buffer): void {
    const {socket, core} = this.#connection;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.once('close', this.#stop);
    if (first.length > 0) this.#onData(first);
    if (this.#settled) return;
    socket.resume();
    if (this.#detector.bytes.length === 0) this.#silence = setTimeout(this.#silent, core.limits.detectTimeoutMs);
  }

  /** From now on the bytes belong to the next stage. */
  readonly #stop = (): void => {
    this.#settled = true;
    if (this.#silence !== null) clearTimeout(this.#silence);
    const {socket} = this.#connection;
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('close', this.#stop);
    socket.pause();
  };

  readonly #onData = (chunk: Buffer): void => {
    if (this.#silence !== null) {
      clearTimeout(this.#silence);
      this.#silence = null;
    }
    if (this.#detector.bytes.length === 0) this.#connection.expireIn(this.#connection.core.limits.headTimeoutMs);
    const detection = this.#detector.push(chunk);
    switch (detection.kind) {
      case 'more':
        this.#protocol = detection.of === 'tls' ? 'tls' : detection.of === 'http1' ? 'http1' : 'unknown';
        if (this.#detector.bytes.length > this.#connection.core.limits.peekBytes)
          this.#refuse('MalformedRequest', 'The first message of this connection is larger than any that is read.');
        return;
      case 'tls':
        this.#stop();
        this.#tls({sni: detection.hello.sni, alpn: detection.hello.alpn, ech: detection.hello.ech});
        return;
      case 'http1':
        this.#stop();
        serveH1(this.#connection, this.#connection.socket, {
          tls: null,
          forced: this.#forced,
          first: this.#detector.bytes,
        });
        return;
      case 'h2-preface':
        this.#stop();
        if (this.#detector.bytes.length > 0) this.#connection.socket.unshift(this.#detector.bytes);
        serveH2(this.#connection, this.#connection.socket, {tls: null, forced: this.#forced});
        return;
      case 'opaque':
        this.#stop();
        this.#opaque();
        return;
      case 'bad':
        this.#stop();
        this.#bad(detection.of === 'http1' ? 'http1' : 'tls', detection.message);
        return;
    }
  };

  /** The client is done before it said what it is: nothing to carry. Half of a message is malformed. */
  readonly #onEnd = (): void => {
    if (this.#detector.bytes.length > 0)
      this.#refuse('MalformedRequest', 'The connection ended inside its first message.');
    else this.#connection.socket.end();
  };

  /** Nothing was read: a client that waits for its server, or one that is not ready yet. */
  readonly #silent = (): void => {
    this.#silence = null;
    const connection = this.#connection;
    const request = connection.ask({kind: 'opaque'});
    this.#ask(request, (answer) => {
      if (this.#settled || this.#detector.bytes.length > 0) return;
      if (answer.verdict === 'allow') {
        this.#stop();
        this.#tunnel(request, answer, NOTHING);
      } else {
        this.#silentDenial = {decision: answer, request};
        connection.expireIn(connection.core.limits.silentTimeoutMs);
      }
    });
  };

  expire(): void {
    if (this.#settled) this.#connection.destroy();
    else if (this.#detector.bytes.length > 0) {
      const of = this.#protocol === 'tls' ? 'a ClientHello' : 'a request';
      this.#refuse('MalformedRequest', `Only part of ${of} came in time.`);
    } else if (this.#silentDenial !== null) {
      this.#stop();
      this.#reset(this.#silentDenial.request, this.#silentDenial.decision);
    } else this.#connection.destroy();
  }

  drain(): void {
    if (!this.#settled && this.#detector.bytes.length === 0) this.#connection.socket.end();
  }

  #tls(tls: TlsHello): void {
    const connection = this.#connection;
    const {core} = connection;
    const request = connection.ask({kind: 'tls', tls});
    if (this.#forced !== null) {
      this.#refuseTls(request, tls, this.#forced);
      return;
    }
    const go = (answer: Answer): void => {
      if (connection.socket.destroyed) return;
      if (!isDecision(answer)) {
        if (answer.needs === 'request') intercept(connection, this.#detector.bytes, tls, null);
        else this.#refuseTls(request, tls, unanswerable(request));
      } else if (answer.verdict === 'allow') this.#tunnel(request, answer, this.#detector.bytes);
      else this.#refuseTls(request, tls, answer);
    };
    if (!core.audit.has(connection.workloadKey, claimedName(request))) {
      judge(core, connection, request, go);
      return;
    }
    // Interception failed before while all was Audit: passed through, if all still is; never by an enforced rule.
    const sealed = {...request, canInspect: false};
    judge(core, connection, sealed, (answer) => {
      if (connection.socket.destroyed) return;
      if (isDecision(answer) && answer.verdict === 'allow' && !answer.enforced)
        this.#tunnel(sealed, answer, this.#detector.bytes);
      else judge(core, connection, request, go);
    });
  }

  /** Finished with a leaf so that the answer can be read; reset where nobody would believe the leaf. */
  #refuseTls(request: EgressRequest, tls: TlsHello, decision: Decision): void {
    if (decision.inspect) intercept(this.#connection, this.#detector.bytes, tls, decision);
    else this.#reset(request, decision);
  }

  #opaque(): void {
    const request = this.#connection.ask({kind: 'opaque'});
    this.#ask(request, (decision) => {
      if (this.#connection.socket.destroyed) return;
      if (decision.verdict === 'allow') this.#tunnel(request, decision, this.#detector.bytes);
      else this.#reset(request, decision);
    });
  }

  /** Bytes that began like HTTP or TLS and are neither: a tcp rule carries any bytes, all else is malformed, in Audit too. */
  #bad(of: 'tls' | 'http1', message: string): void {
    const request = this.#connection.ask({kind: 'opaque'});
    this.#ask(request, (decision) => {
      if (this.#connection.socket.destroyed) return;
      if (decision.verdict === 'allow' && decision.enforced && decision.reason === 'RuleAllowed')
        this.#tunnel(request, decision, this.#detector.bytes);
      else if (of === 'http1')
        serveH1(this.#connection, this.#connection.socket, {
          tls: null,
          forced: this.#forced,
          first: this.#detector.bytes,
        });
      else this.#reset(request, this.#forced ?? refusal(request.id, 'MalformedRequest', message, false));
    });
  }

  #ask(request: EgressRequest, done: (decision: Decision) => void): void {
    if (this.#forced !== null) done(this.#forced);
    else
      judge(this.#connection.core, this.#connection, request, (answer) =>
        done(isDecision(answer) ? answer : unanswerable(request)),
      );
  }

  #tunnel(request: EgressRequest, decision: Decision, first: Buffer): void {
    openTunnel(this.#connection, request, decision, first);
  }

  #refuse(reason: 'MalformedRequest', message: string): void {
    this.#stop();
    const request = this.#connection.ask({kind: 'opaque'});
    this.#reset(request, this.#forced ?? refusal(request.id, reason, message, false));
  }

  #reset(request: EgressRequest, decision: Decision): void {
    journalRefusal(this.#connection, decision, request, request.traffic.kind === 'tls' ? 'tls' : 'tcp', null);
    this.#connection.destroy();
  }
}
