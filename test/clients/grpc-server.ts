/** A gRPC server of grpc-js: unary and bidirectional echo, with a trailer. */
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type sendUnaryData,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import {connect, type Server as TcpServer} from 'node:net';
import {createServer as createTlsServer} from 'node:tls';
import type {LeafSource} from '../../pki/index.ts';

const text = {serialize: (value: string) => Buffer.from(value), deserialize: (bytes: Buffer) => bytes.toString()};
const method = (path: string, stream: boolean) => ({
  path,
  requestStream: stream,
  responseStream: stream,
  requestSerialize: text.serialize,
  requestDeserialize: text.deserialize,
  responseSerialize: text.serialize,
  responseDeserialize: text.deserialize,
});

function trailer(): Metadata {
  const metadata = new Metadata();
  metadata.set('x-trailer', 'from-server');
  return metadata;
}

export function grpcEchoServer(): Server {
  const server = new Server();
  const unary = (call: ServerUnaryCall<string, string>, done: sendUnaryData<string>): void =>
    done(null, call.request, trailer());
  server.addService(
    {
      unary: method('/echo.Echo/Allowed', false),
      bidi: method('/echo.Echo/AllowedStream', true),
      denied: method('/echo.Echo/Forbidden', false),
    },
    {
      unary,
      denied: unary,
      bidi(call: ServerDuplexStream<string, string>) {
        call.on('data', (value: string) => call.write(value));
        call.on('end', () => call.end(trailer()));
      },
    },
  );
  return server;
}

/** grpc-js opens its own listener; `front` is a TLS server that can be put anywhere, in front of it. */
export async function listenGrpc(
  server: Server,
  leaves: LeafSource,
  name: string,
): Promise<{front: TcpServer; close(): void}> {
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  const front = createTlsServer(
    {ALPNProtocols: ['h2'], SNICallback: (_, done) => done(null, leaves.context(name))},
    (socket) => {
      const behind = connect(port, '127.0.0.1');
      socket.pipe(behind).pipe(socket);
      socket.on('error', () => behind.destroy());
      behind.on('error', () => socket.destroy());
    },
  );
  return {front, close: () => server.forceShutdown()};
}
