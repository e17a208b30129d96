/** For tests: a listener on loopback that answers by YAML, and clients of grpc-js and of plain HTTP/2. */
import {connect as connectHttp2, type ClientHttp2Session, type IncomingHttpHeaders} from 'node:http2';
import {Client, credentials, type ChannelCredentials, type ServiceError} from '@grpc/grpc-js';
import {fromBinary} from '@bufbuild/protobuf';
import {CheckResponseSchema, type CheckResponse} from '../gen/envoy/service/auth/v3/external_auth_pb.js';
import {AUTHORIZATION, authorization} from '../server/authorization.ts';
import {HEALTH, Health} from '../server/health.ts';
import type {TlsFiles} from '../../runtime/tls-files.ts';
import {Listener, type Place} from '../server/listener.ts';
import {envoyBefore, type Envoy, type Setting} from './asking.ts';

export const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';
const LOOPBACK: Place = {kind: 'tcp', ip: '127.0.0.1', port: 0};

export interface Serving {
  readonly envoy: Envoy;
  readonly listener: Listener;
  readonly health: Health;
}

export async function serve(
  setting: Setting,
  at: {place?: Place; tls?: TlsFiles | null; limits?: ConstructorParameters<typeof Listener>[0]['limits']} = {},
): Promise<Serving> {
  const envoy = envoyBefore(setting);
  const {place = LOOPBACK, tls = null} = at;
  const limits = at.limits === undefined ? {} : {limits: at.limits};
  const listener = new Listener({flag: '--listen', place, tls, shared: false, ...limits});
  listener.grpc.addService(AUTHORIZATION, authorization(envoy.services));
  const health = new Health(['envoy.service.auth.v3.Authorization']);
  listener.grpc.addService(HEALTH, health.implementation);
  await listener.listen();
  return {envoy, listener, health};
}

const asIs = (bytes: Buffer): Buffer => bytes;

/** One client with one connection. */
export function grpcClient(target: string, channel: ChannelCredentials = credentials.createInsecure()) {
  const client = new Client(target, channel, {
    'grpc.max_send_message_length': -1,
    'grpc.initial_reconnect_backoff_ms': 50,
    'grpc.use_local_subchannel_pool': 1,
  });
  const call = (path: string, message: Uint8Array): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, asIs, asIs, Buffer.from(message), (error: ServiceError | null, answer) =>
        error === null ? resolve(answer!) : reject(error),
      );
    });
  return {
    client,
    call,
    check: async (message: Uint8Array): Promise<CheckResponse> =>
      fromBinary(CheckResponseSchema, await call(CHECK_PATH, message)),
    /** The status code that a call fails with. */
    failure: async (path: string, message: Uint8Array): Promise<{code: number; details: string}> => {
      try {
        await call(path, message);
      } catch (error) {
        return error as ServiceError;
      }
      throw new Error('it was answered');
    },
    close: () => client.close(),
  };
}

/** A plain HTTP/2 connection: what no gRPC library would send can be sent. */
export function rawClient(port: number): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  return session;
}

/** The response's headers and trailers together; null: the stream was reset. */
export function rawCall(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string>>,
  body: Buffer | null,
): Promise<IncomingHttpHeaders | null> {
  return new Promise((resolve) => {
    const stream = session.request({':method': 'POST', ':path': CHECK_PATH, ...headers});
    const seen: IncomingHttpHeaders = {};
    stream.on('response', (more) => void Object.assign(seen, more));
    stream.on('trailers', (more) => void Object.assign(seen, more));
    stream.on('error', () => undefined);
    stream.on('close', () => resolve(Object.keys(seen).length === 0 ? null : seen));
    stream.resume();
    if (body !== null) stream.end(body);
  });
}

/** A Check over such a connection. */
export function rawCheck(session: ClientHttp2Session, message: Uint8Array): Promise<CheckResponse> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': CHECK_PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => void chunks.push(chunk));
    stream.on('error', reject);
    stream.on('end', () => resolve(fromBinary(CheckResponseSchema, Buffer.concat(chunks).subarray(5))));
    stream.end(framed(message));
  });
}

/** Length-prefixed, as gRPC sends a message. */
export function framed(message: Uint8Array, says: number = message.length): Buffer {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(says, 1);
  frame.set(message, 5);
  return frame;
}
