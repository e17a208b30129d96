/** A Decision as Envoy takes it. Never without a status: an empty CheckResponse is an allow. */
import type {Decision, HeaderLines, Mutations} from '../../policy/index.ts';
import {grpcStatus} from '../../runtime/grpc-denial.ts';
import {hostPort} from './parent-target.ts';
import {changesOf, withAuthorization, type Change, type Changes} from './changes.ts';
import {HeaderValueOption_HeaderAppendAction as AppendAction} from '../gen/envoy/config/core/v3/base_pb.js';
import {WireWriter} from './wire.ts';

/** What the answer depends on beside the Decision. */
export interface Answering {
  /** A gRPC request, which is answered by grpc-status. */
  readonly grpc: boolean;
  /** The request's header lines, as far as Envoy told them; null: no request, so that nothing can be changed. */
  readonly lines: HeaderLines | null;
  /** What filters and rule together change; null: what the rule alone changes. */
  readonly changes: Changes | null;
  /** Of the parent that it is sent through, added to the request; null: none. Nowhere but there: neither metadata nor log. */
  readonly authorization: string | null;
  /** See parentTarget. */
  readonly connect: string | null;
  readonly port: number;
}

const DELIMITED = 2;
const VARINT = 0;
const tag = (field: number, type: number): number => (field << 3) | type;

// envoy/service/auth/v3/external_auth.proto, envoy/config/core/v3/base.proto, google/rpc/status.proto, google/protobuf/struct.proto.
const CHECK_RESPONSE = {
  status: tag(1, DELIMITED),
  deniedResponse: tag(2, DELIMITED),
  okResponse: tag(3, DELIMITED),
  dynamicMetadata: tag(4, DELIMITED),
};
const STATUS = {code: tag(1, VARINT), message: tag(2, DELIMITED)};
const DENIED = {status: tag(1, DELIMITED), headers: tag(2, DELIMITED), body: tag(3, DELIMITED)};
const HTTP_STATUS = {code: tag(1, VARINT)};
const OK = {headers: tag(2, DELIMITED), headersToRemove: tag(5, DELIMITED), responseHeadersToAdd: tag(6, DELIMITED)};
const OPTION = {
  header: tag(1, DELIMITED),
  append: tag(2, DELIMITED),
  action: tag(3, VARINT),
  keepEmpty: tag(4, VARINT),
};
const HEADER = {key: tag(1, DELIMITED), value: tag(2, DELIMITED)};
const BOOL = {value: tag(1, VARINT)};
const STRUCT = {fields: tag(1, DELIMITED)};
const ENTRY = {key: tag(1, DELIMITED), value: tag(2, DELIMITED)};
const VALUE = {text: tag(3, DELIMITED), boolean: tag(4, VARINT)};

const out = new WireWriter();

/** The encoded CheckResponse. */
export function toCheckResponse(decision: Decision, answering: Answering): Buffer {
  out.clear();
  // From the last field to the first.
  writeMetadata(decision, answering);
  const mark = out.mark;
  if (decision.verdict === 'allow') {
    writeChanges(decision, answering);
    out.message(CHECK_RESPONSE.okResponse, mark);
    // Code 0 is what an empty message says; that there is one is what makes this an answer.
    out.message(CHECK_RESPONSE.status, out.mark);
    return out.take();
  }
  if (answering.grpc) writeGrpcDenial(decision);
  else writeHttpDenial(decision);
  out.message(CHECK_RESPONSE.deniedResponse, mark);
  const status = out.mark;
  out.text(STATUS.message, decision.reason);
  out.varint(STATUS.code, grpcStatus(decision.reason));
  out.message(CHECK_RESPONSE.status, status);
  return out.take();
}

/** Shown by Envoy's access log: %DYNAMIC_METADATA(envoy.filters.http.ext_authz:reason)%; the network filter's is envoy.filters.network.ext_authz. */
function writeMetadata(
  {policy, rule, reason, verdict, wouldDeny, id, dial, via}: Decision,
  {connect, port}: Answering,
): void {
  const mark = out.mark;
  const address = dial[0];
  // For an ORIGINAL_DST cluster with metadata_key: Envoy dials the very address that was checked.
  if (address !== undefined) writeField('dial', hostPort(address, port));
  if (via.kind === 'proxy') {
    writeField('via', via.proxy);
    // What a CONNECT through it may name: what was not judged by its name is not sent as one.
    writeField('sends', via.sends);
    if (connect !== null) writeField('connect', connect);
  }
  writeField('wouldDeny', wouldDeny);
  writeField('rule', rule ?? '');
  writeField(
    'policy',
    policy === null ? '' : policy.namespace === null ? policy.name : `${policy.namespace}/${policy.name}`,
  );
  writeField('reason', reason);
  writeField('verdict', verdict);
  writeField('id', id);
  out.message(CHECK_RESPONSE.dynamicMetadata, mark);
}

function writeField(key: string, value: string | boolean): void {
  const entry = out.mark;
  if (typeof value === 'boolean') out.varint(VALUE.boolean, value ? 1 : 0);
  else out.text(VALUE.text, value);
  out.message(ENTRY.value, entry);
  out.text(ENTRY.key, key);
  out.message(STRUCT.fields, entry);
}

function writeChanges(decision: Decision, {lines, changes, authorization}: Answering): void {
  const {requestMutations, responseMutations} = decision;
  if (lines === null) return;
  writeResponseChanges(responseMutations);
  const all = changes ?? changesOf(requestMutations, lines);
  const {headers, remove} = authorization === null ? all : withAuthorization(all, authorization);
  for (let i = remove.length - 1; i >= 0; i--) out.text(OK.headersToRemove, remove[i]!);
  for (let i = headers.length - 1; i >= 0; i--) writeChange(OK.headers, headers[i]!);
}

/** There is no removal of response headers in the protocol: what is there is emptied. Written last to first. */
function writeResponseChanges({set, add, remove}: Mutations): void {
  for (const name in add) writeAction(name, add[name]!, AppendAction.APPEND_IF_EXISTS_OR_ADD, false);
  for (const name in set) writeChange(OK.responseHeadersToAdd, {name, value: set[name]!, append: false});
  for (const name of remove) writeAction(name, '', AppendAction.OVERWRITE_IF_EXISTS, true);
}

/** `append` explicitly: what is unset means overwriting in one of Envoy's lists and adding in the other. */
function writeChange(field: number, {name, value, append}: Change): void {
  const option = out.mark;
  const bool = out.mark;
  if (append) out.varint(BOOL.value, 1);
  out.message(OPTION.append, bool);
  writeHeader(name, value);
  out.message(field, option);
}

function writeAction(name: string, value: string, action: AppendAction, keepEmpty: boolean): void {
  const option = out.mark;
  if (keepEmpty) out.varint(OPTION.keepEmpty, 1);
  out.varint(OPTION.action, action);
  writeHeader(name, value);
  out.message(OK.responseHeadersToAdd, option);
}

function writeHeader(key: string, value: string): void {
  const header = out.mark;
  out.text(HEADER.value, value);
  out.text(HEADER.key, key);
  out.message(OPTION.header, header);
}

function writeHttpDenial({response}: Decision): void {
  const {status, headers, body} = response!;
  writeDenial(status, headers, body);
}

/** Envoy makes HTTP 200 of it, and grpc-message of the body; where it sees no gRPC request, the status is the denial's own. */
function writeGrpcDenial({id, reason, message, response}: Decision): void {
  const status = response!.status === 200 ? 403 : response!.status;
  const headers = ['grpc-status', String(grpcStatus(reason)), 'x-sallyport-denial', id];
  writeDenial(status, headers, `${reason}: ${message} (denial ${id})`);
}

function writeDenial(status: number, headers: HeaderLines, body: string): void {
  out.text(DENIED.body, body);
  for (let i = headers.length - 2; i >= 0; i -= 2)
    writeChange(DENIED.headers, {name: headers[i]!, value: headers[i + 1]!, append: false});
  const code = out.mark;
  out.varint(HTTP_STATUS.code, status);
  out.message(DENIED.status, code);
}
