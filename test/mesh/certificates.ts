/** What Istio's agent serves to the Envoy beside it: the workload's certificate and the mesh's roots, on a unix socket (SotW SDS). */
import {create, fromBinary, toBinary} from '@bufbuild/protobuf';
import {Server, ServerCredentials, type ServerDuplexStream} from '@grpc/grpc-js';
import {SecretSchema} from '../../extauthz/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
  type DiscoveryRequest,
  type DiscoveryResponse,
} from '../../extauthz/gen/envoy/service/discovery/v3/discovery_pb.js';
import type {MeshCa} from '../../extauthz/sds/testing/mesh-ca.ts';

const SECRET_TYPE_URL = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';

const STREAM_SECRETS = {
  StreamSecrets: {
    path: '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
    requestStream: true,
    responseStream: true,
    requestSerialize: (message: DiscoveryRequest) => Buffer.from(toBinary(DiscoveryRequestSchema, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(DiscoveryRequestSchema, bytes),
    responseSerialize: (message: DiscoveryResponse) => Buffer.from(toBinary(DiscoveryResponseSchema, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(DiscoveryResponseSchema, bytes),
  },
} as const;

/** Serves `spiffeId`'s certificate of the CA at a socket; resolves with what ends it. */
export async function serveCertificates(ca: MeshCa, spiffeId: string, path: string): Promise<() => void> {
  const {cert_chain: chain, private_key: key} = ca.pair(spiffeId);
  const inline = (pem: Buffer) => ({specifier: {case: 'inlineBytes' as const, value: new Uint8Array(pem)}});
  const secrets = new Map([
    [
      'default',
      create(SecretSchema, {
        name: 'default',
        type: {case: 'tlsCertificate', value: {certificateChain: inline(chain), privateKey: inline(key)}},
      }),
    ],
    [
      'ROOTCA',
      create(SecretSchema, {
        name: 'ROOTCA',
        type: {case: 'validationContext', value: {trustedCa: inline(ca.root)}},
      }),
    ],
  ]);
  const server = new Server();
  server.addService(STREAM_SECRETS, {
    StreamSecrets(call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>) {
      call.on('error', () => undefined);
      call.on('data', ({resourceNames, responseNonce}: DiscoveryRequest) => {
        // An acknowledgement: nothing ever changes here.
        if (responseNonce !== '') return;
        const resources = resourceNames.flatMap((name) => {
          const secret = secrets.get(name);
          return secret === undefined ? [] : [{typeUrl: SECRET_TYPE_URL, value: toBinary(SecretSchema, secret)}];
        });
        call.write(
          create(DiscoveryResponseSchema, {versionInfo: '1', nonce: '1', typeUrl: SECRET_TYPE_URL, resources}),
        );
      });
      call.on('end', () => call.end());
    },
  });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    ),
  );
  return () => server.forceShutdown();
}
