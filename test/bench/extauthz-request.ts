/** The CheckRequest of the bench: about 450 bytes, as Envoy sends them for a small request seen inside TLS. */
import {create, toBinary} from '@bufbuild/protobuf';
import {CheckRequestSchema} from '../../extauthz/gen/envoy/service/auth/v3/external_auth_pb.js';

const bytes = new TextEncoder();

const socketAddress = (address: string, port: number) => ({
  address: {
    case: 'socketAddress' as const,
    value: {address, portSpecifier: {case: 'portValue' as const, value: port}},
  },
});

/** @param path with its query. */
export function checkRequest(host: string, path: string, source: string, destination: string): Uint8Array {
  const headers = {
    ':authority': host,
    ':method': 'GET',
    ':path': path,
    ':scheme': 'https',
    'user-agent': 'curl/8.5.0',
    accept: '*/*',
    'accept-encoding': 'gzip',
    'x-forwarded-proto': 'https',
    'x-request-id': 'b7a1c6de-4c1f-4a1e-9a59-2f0c3f6f2f11',
  };
  return toBinary(
    CheckRequestSchema,
    create(CheckRequestSchema, {
      attributes: {
        source: {address: socketAddress(source, 40_000)},
        destination: {address: socketAddress(destination, 443)},
        request: {
          time: {seconds: 1_790_000_000n, nanos: 123_456_000},
          http: {
            id: '1234567890123456789',
            method: 'GET',
            headerMap: {
              headers: Object.entries(headers).map(([key, value]) => ({key, rawValue: bytes.encode(value)})),
            },
            path,
            host,
            scheme: 'https',
            protocol: 'HTTP/1.1',
          },
        },
        metadataContext: {},
        tlsSession: {sni: host},
      },
    }),
  );
}

/** A gRPC message: not compressed, and its length before it (gRPC over HTTP/2, Length-Prefixed-Message). */
export function grpcMessage(message: Uint8Array): Buffer {
  const framed = Buffer.alloc(5 + message.length);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  return framed;
}
