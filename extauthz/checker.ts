/** One Check from bytes to bytes: who asks, what, what the policy says, what the filters say, how Envoy is told. */
import type {Filters} from '../filters/contract.ts';
import type {Decision, EgressRequest} from '../policy/index.ts';
import {isGrpc} from '../runtime/grpc-denial.ts';
import {newDecisionId} from '../runtime/ids.ts';
import type {Journal} from '../runtime/journal.ts';
import {refusal} from '../runtime/refusal.ts';
import {asksUs} from './check/asks-us.ts';
import {readAsker, type Asker, type Dials} from './check/asker.ts';
import type {Attributes} from './check/attributes.ts';
import type {Changes} from './check/changes.ts';
import {readCheck} from './check/decode.ts';
import {toEgressRequest} from './check/question.ts';
import {parentTarget} from './check/parent-target.ts';
import {toCheckResponse} from './check/response.ts';
import {sendsFor, throughItsParent, withCredentials, type Authorizations} from './check/via.ts';
import {filterRequest} from './filtering.ts';
import type {Directory} from './identity/directory.ts';
import type {Hops} from './identity/hops.ts';
import {trustDomainOf} from './identity/spiffe.ts';
import {asVerified, identify} from './identity/identify.ts';
import type {Judge} from './judge.ts';

export interface CheckServices {
  readonly judge: Judge;
  readonly journal: Journal;
  readonly hops: Hops;
  readonly dials: Dials;
  directory(): Directory;
  /** Script filters; null: there are none. */
  readonly filters: Filters | null;
  /** Changes when the policies do. */
  policies(): unknown;
  readonly authorization: Authorizations;
  /** Of our own certificate; null: it is of no mesh, and roots of others are not told apart. */
  trustDomain(): string | null;
}

/** What the gRPC call adds to its message. */
export interface Caller {
  /** The identity of the Envoy that asks; null: it showed no certificate. Read from it each time, so only where it matters. */
  readonly peer: string | null;
  /** gRPC metadata by its lower-case key; null: not there. */
  metadata(key: string): string | null;
}

const NOTHING: Attributes = {
  source: {ip: null, port: null, principal: null},
  destination: {ip: null, port: null, principal: null},
  sni: null,
  http: null,
  extensions: {},
};

type Answer = (
  decision: Decision,
  request: EgressRequest,
  changes: Changes | null,
  authorization: string | null,
) => void;

/** Answers one CheckRequest. `done` is called once, and always with an answer that has a status. */
export function check(
  services: CheckServices,
  message: Uint8Array,
  caller: Caller,
  done: (response: Buffer) => void,
): void {
  const id = newDecisionId();
  let attributes = NOTHING;
  let answered = false;
  const answer: Answer = (decision, request, changes, authorization) => {
    let response: Buffer;
    answered = true;
    try {
      services.journal.decision(decision, request);
      const lines = attributes.http?.fields.lines ?? null;
      const grpc = lines !== null && asksGrpc(lines);
      const connect = parentTarget(decision, request);
      const {port} = request.destination;
      response = toCheckResponse(decision, {grpc, lines, changes, authorization, connect, port});
    } catch (error) {
      services.journal.notice('error', 'extauthz.answer-failed', 'a Check could not be answered, and is refused', {
        id,
        error: String(error),
      });
      response = unanswered(id);
    }
    done(response);
  };
  const refuse = (decision: Decision): void => answer(decision, unasked(id, attributes), null, null);
  try {
    attributes = readCheck(message);
  } catch {
    return refuse(refusal(id, 'MalformedRequest', 'This is no CheckRequest.', false));
  }
  const asker = readAsker((key) => extension(attributes, key) ?? caller.metadata(key), services.dials);
  if ('misconfigured' in asker) return refuse(refusal(id, 'MalformedRequest', asker.misconfigured, false));
  try {
    const usesPeer = asker.claim !== null || asker.principal !== null || asker.addsCredentials;
    const peer = usesPeer ? ourPeer(services, caller.peer) : null;
    decide(services, id, attributes, asker, peer, answer, refuse);
  } catch (error) {
    if (answered) throw error;
    services.journal.notice('error', 'extauthz.check-failed', 'a Check could not be judged, and is refused', {
      id,
      error: String(error),
    });
    refuse(
      refusal(id, 'Overloaded', 'The request could not be judged; the operator finds the cause in the log.', false),
    );
  }
}

/**
 * Namespaces and accounts of a mesh that is federated with ours (`--client-ca` holds its root too) have the names of ours, and are
 * others. A hop is named with its whole identity.
 */
function ourPeer(services: CheckServices, peer: string | null): string | null {
  const {hops} = services;
  const domain = services.trustDomain();
  return peer === null || domain === null || trustDomainOf(peer) === domain || hops.isId(peer) ? peer : null;
}

function decide(
  services: CheckServices,
  id: string,
  attributes: Attributes,
  asker: Asker,
  peer: string | null,
  answer: Answer,
  refuse: (decision: Decision) => void,
): void {
  if (attributes.http !== null && asksUs(attributes.http.path))
    return refuse(
      refusal(id, 'UnsupportedProtocol', 'This asks extauthz itself, which answers Envoys and nobody else.', false),
    );
  const seen = asVerified(attributes, asker.principal, peer, services.hops);
  if (seen === null)
    return refuse(
      refusal(id, 'MalformedRequest', 'The Envoy that asks tells whose tunnel it is, and is no --hop.', false),
    );
  const workload = identify(seen, asker.claim, peer, services.hops, services.directory());
  if (typeof workload === 'object' && 'conflict' in workload)
    return refuse(refusal(id, 'IdentityConflict', workload.conflict, false));
  const request = toEgressRequest(id, attributes, asker, workload);
  if ('unaskable' in request) return refuse(refusal(id, request.unaskable, request.message, false));
  ask(services, request, attributes, asker, peer, answer);
}

/** The policy, then the filters; and again, if the policies were replaced while the filters ran. */
function ask(
  services: CheckServices,
  request: EgressRequest,
  attributes: Attributes,
  asker: Asker,
  peer: string | null,
  answer: Answer,
): void {
  services.judge.judge(request, (judged) => {
    const {decision, authorization} = withCredentials(
      throughItsParent(judged, asker.via),
      asker.addsCredentials,
      attributes.http === null ? null : attributes.http.method,
      () => sendsFor(peer, request.workload, services.hops),
      services.authorization,
    );
    const {filters} = services;
    // While all is Audit the wire is left as it was: filters too only watch nothing.
    if (
      filters === null ||
      !filters.hasRequest ||
      decision.verdict !== 'allow' ||
      !decision.enforced ||
      attributes.http === null
    )
      return answer(decision, request, null, authorization);
    const policies = services.policies();
    filterRequest(filters, decision, request, attributes.http, (filtered, changes) => {
      if (policies === services.policies()) answer(filtered, request, changes, authorization);
      else ask(services, request, attributes, asker, peer, answer);
    });
  });
}

function extension({extensions}: Attributes, key: string): string | null {
  return Object.hasOwn(extensions, key) ? extensions[key]! : null;
}

function asksGrpc(lines: readonly string[]): boolean {
  for (let i = 0; i + 1 < lines.length; i += 2)
    if (lines[i]!.length === 12 && lines[i]!.toLowerCase() === 'content-type') return isGrpc(lines[i + 1]);
  return false;
}

/** What is answered where no answer can be made: an error that is refused in every failure mode. */
function unanswered(id: string): Buffer {
  const decision = refusal(
    id,
    'Overloaded',
    'The answer could not be made; the operator finds the cause in the log.',
    false,
  );
  return toCheckResponse(decision, {
    grpc: false,
    lines: null,
    changes: null,
    authorization: null,
    connect: null,
    port: 0,
  });
}

/** For the log: what little is known of a question that could not be asked. */
function unasked(id: string, {source, destination, sni}: Attributes): EgressRequest {
  return {
    id,
    arrived: 'mesh',
    workload: 'unknown',
    source: {ip: source.ip ?? '', port: source.port ?? 0},
    destination: {ip: destination.ip, port: destination.port ?? 0, host: null},
    connectAuthority: null,
    canInspect: false,
    traffic: sni === null ? {kind: 'unread'} : {kind: 'tls', tls: {sni, alpn: [], ech: false}},
  };
}
