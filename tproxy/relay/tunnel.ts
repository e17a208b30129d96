/** tls and tcp rules: the bytes as they are, both ways, to the destination that the decision names. */
import {isDecision, type Decision, type EgressRequest} from '../../policy/index.ts';
import type {Failure} from '../upstream/contract.ts';
import type {ClientConnection, Stage} from './connection.ts';
import {judgeAgain, type Answer} from './judge.ts';
import type {LivingFlow} from './live.ts';
import {carrierOf, hostOf, rerouted, routeOf} from './route.ts';
import {Splice} from './splice.ts';

/** Dial what `decision` allows and carry the connection there. `first`: what was read of the client already. */
export function openTunnel(
  connection: ClientConnection,
  request: EgressRequest,
  decision: Decision,
  first: Buffer,
): void {
  new Tunnel(connection, request, decision).start(first);
}

class Tunnel implements Stage, LivingFlow {
  readonly #connection: ClientConnection;
  readonly #protocol: 'tls' | 'tcp';
  #request: EgressRequest;
  #decision: Decision;
  #dialling: {cancel(): void} | null = null;
  #splice: Splice | null = null;
  #upstream: string | null = null;
  #proxied: string | null = null;
  /** The UpstreamProxy that it was sent through. */
  readonly #carrier: string | null;
  /** The policy changed while it was being dialled: the address was judged by the former one. */
  #recheckWhenDialled = false;
  #done = false;

  constructor(connection: ClientConnection, request: EgressRequest, decision: Decision) {
    this.#connection = connection;
    this.#request = request;
    this.#decision = decision;
    this.#carrier = carrierOf(decision);
    this.#protocol = request.traffic.kind === 'tls' ? 'tls' : 'tcp';
    connection.stage = this;
    // The upstream has its own time limits for dialling.
    connection.deadlineAt = 0;
  }

  start(first: Buffer): void {
    const connection = this.#connection;
    const {core, socket} = connection;
    core.services.journal.decision(this.#decision, this.#request);
    const route = routeOf(core, connection, this.#request, this.#decision, this.#protocol);
    if ('failure' in route) {
      this.#finish(route.failure);
      return;
    }
    core.live.begin(this);
    socket.once('close', this.#clientClosed);
    let answered = false;
    const dialling = core.services.upstream.connect(route, (result) => {
      answered = true;
      this.#dialling = null;
      if ('failure' in result) {
        this.#finish(result.failure);
        return;
      }
      this.#upstream = result.address;
      this.#proxied = result.proxy;
      if (this.#done) {
        result.stream.destroy();
        return;
      }
      connection.expireIn(core.limits.tunnelIdleTimeoutMs);
      socket.setKeepAlive(true, 60_000);
      socket.off('close', this.#clientClosed);
      this.#splice = new Splice(socket, result.stream, {
        moved: () => connection.expireIn(core.limits.tunnelIdleTimeoutMs),
        closed: (failed) => this.#finish(failed === null ? null : {reason: 'UpstreamUnreachable', message: failed}),
      });
      // Denied, it is cut before its server was told anything.
      if (this.#recheckWhenDialled) this.recheck();
      if (!this.#isDone()) this.#splice.start(first);
    });
    if (!answered) this.#dialling = dialling;
  }

  #isDone(): boolean {
    return this.#done;
  }

  readonly #clientClosed = (): void => {
    this.#finish(null);
  };

  expire(): void {
    this.#finish({reason: 'LimitExceeded', message: 'Nothing moved through this connection for too long.'});
  }

  /** Tunnels live until the drain's own deadline: there is no message between which they could end. */
  drain(): void {
    // Nothing to do before the deadline.
  }

  recheck(): void {
    const connection = this.#connection;
    const request = {...this.#request, id: connection.ask(this.#request.traffic).id, workload: connection.workload};
    this.#recheckWhenDialled = this.#upstream === null;
    this.#judgeAgain(request, (answer) => {
      if (isDecision(answer)) this.#judged(request, answer);
      // Nobody read the bytes when it was opened: they are bytes, then.
      else if (answer.needs === 'bytes')
        this.#judgeAgain({...request, traffic: {kind: 'opaque'}}, (opaque) => this.#judged(request, opaque));
      // A request is to be seen now, and this connection was sealed: while all is Audit it goes on so, and else the decision
      // about a sealed one says why it cannot.
      else this.#judgeAgain({...request, canInspect: false}, (sealed) => this.#judged(request, sealed, true));
    });
  }

  #judgeAgain(request: EgressRequest, done: (answer: Answer) => void): void {
    const living = {connected: hostOf(this.#upstream, this.#proxied), over: () => this.#done};
    judgeAgain(this.#connection.core, this.#connection, request, living, done);
  }

  #judged(request: EgressRequest, answer: Answer, sealed = !request.canInspect): void {
    if (!isDecision(answer) || (answer.verdict === 'allow' && answer.enforced && sealed)) {
      this.#finish({
        reason: 'Uninspectable',
        message: 'The policy changed: it asks for a request to be seen now.',
      });
      return;
    }
    if (answer.verdict === 'deny') {
      this.#connection.core.services.journal.decision(answer, request);
      this.#finish({reason: answer.reason, message: `The policy changed: ${answer.message}`});
      return;
    }
    const other = rerouted(answer, this.#carrier);
    if (other !== null) {
      this.#finish(other);
      return;
    }
    this.#decision = answer;
    this.#request = request;
  }

  #finish(failure: Failure | null): void {
    if (this.#done) return;
    this.#done = true;
    const {core, socket, openedAt} = this.#connection;
    core.live.finished(this);
    this.#dialling?.cancel();
    const splice = this.#splice;
    // The reset first: the client must see a cut, no clean end.
    if (failure !== null || splice === null) this.#connection.destroy();
    if (failure !== null) splice?.destroy();
    socket.off('close', this.#clientClosed);
    core.services.journal.flow({
      decision: this.#decision,
      request: this.#request,
      status: null,
      protocol: this.#protocol,
      bytesIn: splice?.bytesFromA ?? 0,
      bytesOut: splice?.bytesFromB ?? 0,
      durationMs: core.now() - openedAt,
      upstream: this.#upstream,
      proxied: this.#proxied,
      failure,
    });
  }
}
