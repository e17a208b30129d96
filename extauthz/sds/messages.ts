/** Between the stream's plain values and Envoy's messages. */
import {create, toBinary} from '@bufbuild/protobuf';
import {SecretSchema} from '../gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  DeltaDiscoveryResponseSchema,
  ResourceSchema,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
} from '../gen/envoy/service/discovery/v3/discovery_pb.js';
import {SECRET_TYPE_URL, type DeltaRequest, type DeltaResponse, type Resource} from './stream.ts';

/** The version of a response as a whole; delta clients do not read it. */
const NO_SYSTEM_VERSION = '';

export function readRequest(message: DeltaDiscoveryRequest): DeltaRequest {
  return {
    typeUrl: message.typeUrl,
    subscribe: message.resourceNamesSubscribe,
    unsubscribe: message.resourceNamesUnsubscribe,
    initialVersions: new Map(Object.entries(message.initialResourceVersions)),
    nonce: message.responseNonce,
    error: message.errorDetail?.message ?? null,
  };
}

export function writeResponse({nonce, resources, removed}: DeltaResponse): DeltaDiscoveryResponse {
  return create(DeltaDiscoveryResponseSchema, {
    systemVersionInfo: NO_SYSTEM_VERSION,
    typeUrl: SECRET_TYPE_URL,
    nonce,
    resources: resources.map(writeResource),
    removedResources: [...removed],
  });
}

const text = new TextEncoder();

function writeResource({name, version, ttlMs, secret}: Resource) {
  const ttl = {seconds: BigInt(Math.floor(ttlMs / 1000)), nanos: Math.floor(ttlMs % 1000) * 1_000_000};
  if (secret === null) return create(ResourceSchema, {name, version, ttl});
  const inline = (pem: string) => ({specifier: {case: 'inlineBytes' as const, value: text.encode(pem)}});
  const value = toBinary(
    SecretSchema,
    create(SecretSchema, {
      name,
      type: {
        case: 'tlsCertificate',
        value: {certificateChain: inline(secret.chainPem), privateKey: inline(secret.keyPem)},
      },
    }),
  );
  return create(ResourceSchema, {name, version, ttl, resource: {typeUrl: SECRET_TYPE_URL, value}});
}
