/** A Decision as Envoy takes it. Never without a status: an empty CheckResponse is an allow. */
import {create, toBinary, type JsonObject, type MessageInitShape} from '@bufbuild/protobuf';
import type {Decision, HeaderLines, Mutations} from '../../policy/index.ts';
import {grpcStatus} from '../../runtime/grpc-denial.ts';
import {changesOf, type Change, type Changes} from './changes.ts';
import {
  HeaderValueOption_HeaderAppendAction as AppendAction,
  type HeaderValueOptionSchema,
} from '../gen/envoy/config/core/v3/base_pb.js';
import {CheckResponseSchema} from '../gen/envoy/service/auth/v3/external_auth_pb.js';

type Header = MessageInitShape<typeof HeaderValueOptionSchema>;

/** What the answer depends on beside the Decision. */
export interface Answering {
  /** A gRPC request, which is answered by grpc-status. */
  readonly grpc: boolean;
  /** The request's header lines, as far as Envoy told them; null: no request, so that nothing can be changed. */
  readonly lines: HeaderLines | null;
  /** What filters and rule together change; null: what the rule alone changes. */
  readonly changes: Changes | null;
  readonly port: number;
}

/** The encoded CheckResponse. */
export function toCheckResponse(decision: Decision, answering: Answering): Uint8Array {
  const dynamicMetadata = metadataOf(decision, answering.port);
  if (decision.verdict === 'allow') {
    return toBinary(
      CheckResponseSchema,
      create(CheckResponseSchema, {
        status: {code: 0},
        httpResponse: {case: 'okResponse', value: allowed(decision, answering)},
        dynamicMetadata,
      }),
    );
  }
  return toBinary(
    CheckResponseSchema,
    create(CheckResponseSchema, {
      status: {code: grpcStatus(decision.reason), message: decision.reason},
      httpResponse: {case: 'deniedResponse', value: answering.grpc ? grpcDenial(decision) : httpDenial(decision)},
      dynamicMetadata,
    }),
  );
}

/** Shown by Envoy's access log: %DYNAMIC_METADATA(envoy.filters.http.ext_authz:reason)%; the network filter's is envoy.filters.network.ext_authz. */
function metadataOf({policy, rule, reason, verdict, wouldDeny, id, dial, via}: Decision, port: number): JsonObject {
  const metadata: JsonObject = {
    id,
    verdict,
    reason,
    policy: policy === null ? '' : policy.namespace === null ? policy.name : `${policy.namespace}/${policy.name}`,
    rule: rule ?? '',
    wouldDeny,
  };
  const address = dial[0];
  // For an ORIGINAL_DST cluster with metadata_key: Envoy dials the very address that was checked.
  if (address !== undefined) metadata.dial = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  if (via.kind === 'proxy') {
    metadata.via = via.proxy;
    // What a CONNECT through it may name: what was not judged by its name is not sent as one.
    metadata.sends = via.sends;
  }
  return metadata;
}

function allowed({requestMutations, responseMutations}: Decision, {lines, changes}: Answering) {
  if (lines === null) return {};
  const {headers, remove} = changes ?? changesOf(requestMutations, lines);
  return {
    headers: headers.map(ofChange),
    headersToRemove: [...remove],
    responseHeadersToAdd: responseChanges(responseMutations),
  };
}

function httpDenial({response}: Decision) {
  const {status, headers, body} = response!;
  return {status: {code: status}, headers: headerOptions(headers), body};
}

/** Envoy makes HTTP 200 of it, and grpc-message of the body; where it sees no gRPC request, the status is the denial's own. */
function grpcDenial({id, reason, message, response}: Decision) {
  return {
    status: {code: response!.status === 200 ? 403 : response!.status},
    headers: headerOptions(['grpc-status', String(grpcStatus(reason)), 'x-sallyport-denial', id]),
    body: `${reason}: ${message} (denial ${id})`,
  };
}

function headerOptions(lines: HeaderLines): Header[] {
  const options: Header[] = [];
  for (let i = 0; i + 1 < lines.length; i += 2) options.push(overwrite(lines[i]!, lines[i + 1]!));
  return options;
}

/** Explicitly false: what is unset means overwriting in one of Envoy's lists and adding in the other. */
const overwrite = (key: string, value: string): Header => ({header: {key, value}, append: false});

/** `value` in Latin-1, as lines have it; protobuf takes UTF-8 only, and Envoy what protobuf took. */
const ofChange = ({name, value, append}: Change): Header => ({header: {key: name, value}, append});

/** There is no removal of response headers in the protocol: what is there is emptied. */
function responseChanges({set, add, remove}: Mutations): Header[] {
  const headers: Header[] = [];
  for (const name of remove)
    headers.push({
      header: {key: name, value: ''},
      appendAction: AppendAction.OVERWRITE_IF_EXISTS,
      keepEmptyValue: true,
    });
  for (const name in set) headers.push(overwrite(name, set[name]!));
  for (const name in add)
    headers.push({header: {key: name, value: add[name]!}, appendAction: AppendAction.APPEND_IF_EXISTS_OR_ADD});
  return headers;
}
