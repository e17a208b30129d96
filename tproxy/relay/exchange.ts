/**
 * One request: decided, filtered, mutated, sent, and its answer brought back. The same for HTTP/1 and HTTP/2 clients.
 *
 * The order is the invariant: upstream.request() is called in send() only, and send() is reached only from an
 * allowing Decision of the policies of that moment.
 */
import {
  isDecision,
  type Decision,
  type Destination,
  type EgressRequest,
  type HeaderLines,
  type TlsHello,
} from '../../policy/index.ts';
import type {FilterVerdict} from '../../filters/contract.ts';
import type {Exchange, Failure, ResponseHandlers} from '../upstream/contract.ts';
import type {Duplex} from 'node:stream';
import {endToEnd} from '../http1/index.ts';
import {denialAnswer, failureAnswer, refusal} from './answers.ts';
import type {ClientStream, RequestMessage, RequestSink} from './client-stream.ts';
import type {ClientConnection} from './connection.ts';
import {limited} from './core.ts';
import {judgeRequest, judgeAgain, trusts, unanswerable, type Answer} from './judge.ts';
import {filterRequest, overruledBy} from './filter-request.ts';
import type {LivingFlow} from './live.ts';
import {mutate, without} from './mutate.ts';
import {claimedName as routeName} from './naming.ts';
import {carrierOf, hostOf, rerouted, routeOf} from './route.ts';
import {Splice} from './splice.ts';

type Phase = 'deciding' | 'filtering' | 'sent' | 'filtering-response' | 'responding' | 'upgraded' | 'done';

export class HttpExchange implements ResponseHandlers, RequestSink, LivingFlow {
  readonly #connection: ClientConnection;
  readonly #client: ClientStream;
  readonly #message: RequestMessage;
  readonly #startedAt: number;
  #request: EgressRequest;
  #decision: Decision | null = null;
  #upstream: Exchange | null = null;
  #phase: Phase = 'deciding';
  /** The policy changed while a filter was thinking. */
  #stale = false;
  /** The policy changed: an address that is dialled from now on was judged by the former one. */
  #recheckWhenDialled = false;
  #requestEnded = false;
  #status: number | null = null;
  #bytesIn = 0;
  #bytesOut = 0;
  #address: string | null = null;
  #proxied: string | null = null;
  /** The answer's beginning while a filter looks at its head. */
  #held: Buffer[] = [];
  #heldEnd: HeaderLines | null = null;
  #splice: Splice | null = null;

  constructor(
    connection: ClientConnection,
    client: ClientStream,
    message: RequestMessage,
    tls: TlsHello | null,
    destination: Destination,
  ) {
    this.#connection = connection;
    this.#client = client;
    this.#message = message;
    this.#startedAt = connection.core.now();
    this.#request = connection.ask(
      tls === null ? {kind: 'http', http: message.http} : {kind: 'https', tls, http: message.http},
      destination,
    );
  }

  /** Decide and go on. `forced`: the connection was refused already, this is where it is told. */
  start(forced: Decision | null): void {
    const {core, usage} = this.#connection;
    const {usages} = core.live;
    core.live.begin(this);
    if (forced !== null) {
      usages.hold(usage, 'requests', 1);
      this.#decided(forced);
    } else if (!usages.take(usage, 'requests', 1, core.limits.requestsPerWorkload, core.limits.requests)) {
      usages.hold(usage, 'requests', 1);
      limited(core, 'requests');
      this.#decided(
        refusal(
          this.#request.id,
          'LimitExceeded',
          'This workload has too many requests under way at once.',
          trusts(this.#request),
        ),
      );
    } else if (core.requestTurns.mayBegin(usage)) this.#judge();
    else core.requestTurns.wait(usage, () => this.#judge());
  }

  #judge(): void {
    if (this.#phase !== 'done')
      judgeRequest(this.#connection.core, this.#connection, this.#request, (answer) => this.#decided(answer));
  }

  #decided(answer: Answer): void {
    if (this.#phase === 'done') return;
    const {core} = this.#connection;
    if (!isDecision(answer)) {
      this.#refuse(unanswerable(this.#request));
      return;
    }
    if (answer.verdict === 'deny') {
      this.#refuse(answer);
      return;
    }
    this.#decision = answer;
    const {filters} = core.services;
    // While all is Audit the wire is left as it was: filters too only watch nothing.
    if (filters !== null && filters.hasRequest && answer.enforced) {
      this.#phase = 'filtering';
      filters.request(filterRequest(this.#request, this.#message), (verdict) => this.#filtered(answer, verdict));
      return;
    }
    core.services.journal.decision(answer, this.#request);
    this.#send(answer, this.#message.headers);
  }

  #filtered(decision: Decision, verdict: FilterVerdict): void {
    if (this.#phase !== 'filtering') return;
    if (this.#stale) {
      this.#stale = false;
      this.#phase = 'deciding';
      this.#request = {...this.#request, workload: this.#connection.workload};
      judgeRequest(this.#connection.core, this.#connection, this.#request, (answer) => this.#decided(answer));
      return;
    }
    switch (verdict.kind) {
      case 'continue':
        this.#connection.core.services.journal.decision(decision, this.#request);
        // What a filter may not touch is stripped again whatever it returned.
        this.#send(decision, endToEnd(verdict.headers));
        return;
      case 'answered':
      case 'failed':
        this.#refuse(overruledBy(verdict, decision));
        return;
    }
  }

  #refuse(decision: Decision): void {
    this.#decision = decision;
    this.#connection.core.services.journal.decision(decision, this.#request);
    this.#answer(denialAnswer(decision, this.#message.grpc), null);
  }

  #send(decision: Decision, headers: HeaderLines): void {
    const {core} = this.#connection;
    const {http} = this.#message;
    this.#phase = 'sent';
    const scheme = this.#request.traffic.kind === 'https' ? 'https' : 'http';
    const route = routeOf(core, this.#connection, this.#request, decision, scheme);
    if ('failure' in route) {
      this.failed(route.failure);
      return;
    }
    const websocket = http.upgrade.length > 0;
    const upstream = core.services.upstream.request(
      route,
      {
        method: http.method,
        target: http.query === null ? http.path : `${http.path}?${http.query}`,
        authority: http.host ?? http.authority ?? route.name,
        headers: mutate(headers, decision.requestMutations),
        body: this.#message.body,
        client: websocket ? 'h1' : this.#client.protocol,
        upgrade: websocket ? 'websocket' : null,
        wantsTrailers: this.#message.wantsTrailers,
        expectContinue: this.#message.expectContinue,
      },
      this,
    );
    if (this.#done()) {
      upstream.abort();
      return;
    }
    this.#upstream = upstream;
    this.#client.readBody();
  }

  // What the client's side says.

  requestBody(chunk: Buffer): boolean {
    if (this.#upstream === null) return true;
    this.#bytesIn += chunk.length;
    return this.#upstream.write(chunk);
  }

  requestEnd(trailers: HeaderLines): void {
    this.#requestEnded = true;
    this.#upstream?.end(trailers);
  }

  responseDrained(): void {
    if (this.#phase === 'responding') this.#upstream?.resume();
  }

  clientGone(): void {
    if (this.#phase === 'done' || this.#phase === 'upgraded') return;
    this.#upstream?.abort();
    this.#finish(
      this.#connection.core.drained
        ? {reason: 'LimitExceeded', message: 'The proxy was to end, and this took longer than it could wait.'}
        : {reason: 'ClientAborted', message: 'The client went away before the end of the answer.'},
    );
  }

  clientMalformed(message: string): void {
    if (this.#done()) return;
    this.#upstream?.abort();
    const decision = refusal(this.#request.id, 'MalformedRequest', message, true);
    if (this.#decision === null) {
      this.#refuse(decision);
      return;
    }
    const failure: Failure = {reason: 'MalformedRequest', message};
    if (this.#phase === 'responding') {
      this.#client.cut();
      this.#finish(failure);
    } else this.#answer(denialAnswer(decision, this.#message.grpc), failure);
  }

  timedOut(): void {
    if (this.#upstream === null) {
      this.clientGone();
      this.#connection.destroy();
      return;
    }
    this.#upstream.abort();
    this.failed({reason: 'UpstreamUnreachable', message: 'Nothing moved between client and server for too long.'});
  }

  // What the upstream says.

  dialled(address: string, proxy: string | null): void {
    this.#address = address;
    this.#proxied = proxy;
    if (this.#recheckWhenDialled) this.recheck();
  }

  drain(): void {
    if (!this.#done()) this.#client.resumeBody();
  }

  informational(status: number, headers: HeaderLines): void {
    if (this.#phase === 'sent') this.#client.informational(status, headers);
  }

  head(status: number, headers: HeaderLines, bytes: number | null | 'none'): void {
    if (this.#phase !== 'sent') return;
    const decision = this.#decision!;
    // RFC 7838: an alternative service would be a way around this proxy.
    const lines = mutate(without(headers, 'alt-svc'), decision.responseMutations);
    const {filters} = this.#connection.core.services;
    if (filters !== null && filters.hasResponse && decision.enforced) {
      this.#phase = 'filtering-response';
      filters.response(filterRequest(this.#request, this.#message), {status, headers: lines}, (verdict) =>
        this.#filteredResponse(status, bytes, verdict),
      );
      return;
    }
    this.#pass(status, lines, bytes);
  }

  #filteredResponse(status: number, bytes: number | null | 'none', verdict: FilterVerdict): void {
    if (this.#phase !== 'filtering-response') return;
    switch (verdict.kind) {
      case 'continue': {
        this.#pass(status, endToEnd(verdict.headers, bytes === 'none'), bytes);
        const held = this.#held;
        this.#held = [];
        let ready = true;
        for (const chunk of held) ready = this.#client.body(chunk);
        if (this.#heldEnd !== null) this.#complete(this.#heldEnd);
        else if (ready) this.#upstream?.resume();
        return;
      }
      case 'answered':
      case 'failed': {
        const denial = overruledBy(verdict, this.#decision!);
        this.#upstream?.abort();
        this.#answer(denialAnswer(denial, this.#message.grpc), denial);
        return;
      }
    }
  }

  #pass(status: number, headers: HeaderLines, bytes: number | null | 'none'): void {
    this.#phase = 'responding';
    this.#status = status;
    this.#client.head(status, headers, bytes);
  }

  body(chunk: Buffer): boolean {
    this.#bytesOut += chunk.length;
    if (this.#phase === 'filtering-response') {
      this.#held.push(chunk);
      return false;
    }
    if (this.#phase !== 'responding') return true;
    if (!this.#client.body(chunk)) return false;
    const {core, usage} = this.#connection;
    if (core.requestTurns.mayMove(usage, chunk.length)) return true;
    core.requestTurns.next(this.#resume);
    return false;
  }

  /** Its workload moved enough in the last turn. */
  readonly #resume = (): void => {
    if (this.#phase === 'responding') this.#upstream?.resume();
  };

  end(trailers: HeaderLines): void {
    if (this.#phase === 'filtering-response') this.#heldEnd = trailers;
    else if (this.#phase === 'responding') this.#complete(trailers);
  }

  /** The answer is whole. The rest of an upload that was answered early reaches nobody. */
  #complete(trailers: HeaderLines): void {
    if (!this.#requestEnded) this.#upstream?.abort();
    this.#finish(null);
    this.#client.end(trailers);
  }

  upgraded(headers: HeaderLines, stream: Duplex): void {
    if (this.#phase !== 'sent') {
      stream.destroy();
      return;
    }
    this.#phase = 'upgraded';
    this.#status = 101;
    const client = this.#client.upgrade(mutate(without(headers, 'alt-svc'), this.#decision!.responseMutations));
    this.#client.tunnelMoved();
    this.#splice = new Splice(client.stream, stream, {
      moved: () => this.#client.tunnelMoved(),
      closed: (failed) => this.#finish(failed === null ? null : {reason: 'UpstreamUnreachable', message: failed}),
    });
    this.#splice.start(client.first);
  }

  failed(failure: Failure): void {
    if (this.#done()) return;
    const decision = this.#decision!;
    if (failure.reason === 'UpstreamUntrusted' && !decision.enforced && this.#request.traffic.kind === 'https') {
      this.#connection.core.audit.add(this.#connection.workloadKey, routeName(this.#request));
    }
    if (this.#phase === 'sent' || this.#phase === 'filtering-response')
      this.#answer(failureAnswer(decision, failure, this.#message.grpc), failure);
    else {
      this.#finish(failure);
      this.#client.cut();
    }
  }

  recheck(): void {
    if (this.#phase === 'filtering') this.#stale = true;
    // 'deciding' asks for the policies of the moment in each round.
    if (this.#phase === 'done' || this.#phase === 'deciding' || this.#phase === 'filtering') return;
    const request: EgressRequest = {
      ...this.#request,
      id: this.#connection.ask(this.#request.traffic).id,
      workload: this.#connection.workload,
    };
    this.#recheckWhenDialled = true;
    const living = {connected: hostOf(this.#address, this.#proxied), over: () => this.#done()};
    judgeAgain(this.#connection.core, this.#connection, request, living, (answer) => {
      if (isDecision(answer) && answer.verdict === 'allow') {
        const other = rerouted(answer, carrierOf(this.#decision!));
        if (other === null) return;
        this.#end(other, () => failureAnswer(answer, other, this.#message.grpc));
        return;
      }
      const denial = isDecision(answer) ? answer : unanswerable(request);
      this.#connection.core.services.journal.decision(denial, request);
      const failure = {reason: denial.reason, message: `The policy changed: ${denial.message}`};
      this.#end(failure, () => denialAnswer(denial, this.#message.grpc));
    });
  }

  /** Ends it in the middle: with an answer where none has begun, else by a cut. */
  #end(failure: Failure, answer: () => ReturnType<typeof denialAnswer>): void {
    this.#upstream?.abort();
    if (this.#phase === 'sent' || this.#phase === 'filtering-response') {
      this.#answer(answer(), failure);
      return;
    }
    this.#finish(failure);
    this.#client.cut();
    this.#splice?.destroy();
  }

  #answer(answer: ReturnType<typeof denialAnswer>, failure: Failure | null): void {
    this.#status = answer.status;
    this.#bytesOut = answer.body.length;
    this.#finish(failure);
    this.#client.answer(answer);
  }

  #done(): boolean {
    return this.#phase === 'done';
  }

  #finish(failure: {readonly reason: string; readonly message: string} | null): void {
    const upgraded = this.#phase === 'upgraded';
    this.#phase = 'done';
    const {core, usage} = this.#connection;
    core.live.usages.give(usage, 'requests', 1);
    core.live.finished(this);
    // Gone before it was decided: there is nothing to say of it.
    if (this.#decision === null) return;
    core.services.journal.flow({
      decision: this.#decision,
      request: this.#request,
      status: this.#status,
      protocol: upgraded ? 'websocket' : this.#message.grpc ? 'grpc' : this.#client.protocol,
      bytesIn: this.#splice?.bytesFromA ?? this.#bytesIn,
      bytesOut: this.#splice?.bytesFromB ?? this.#bytesOut,
      durationMs: core.now() - this.#startedAt,
      upstream: this.#address,
      proxied: this.#proxied,
      failure,
    });
  }
}
