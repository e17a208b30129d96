/**
 * What grpc-js alone costs: a server that answers every Check with the same bytes and reads nothing of the request.
 * As a program (`node test/bench/peers/grpc-pass-through.ts PORT`) it is that server.
 */
import {fileURLToPath} from 'node:url';
import {Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall} from '@grpc/grpc-js';
import type {CheckPeer} from './check-peer.ts';

const FILE = fileURLToPath(import.meta.url);

export const grpcPassThrough: CheckPeer = {
  name: 'grpc-js, nothing decided',
  missing: () => null,
  prepare: ({port}) => [process.execPath, '--disable-warning=ExperimentalWarning', FILE, String(port)],
};

/** CheckResponse {status {code 0}, ok_response {}}: OK has to be said, as Envoy also takes silence for it. */
const ALLOWED = Buffer.from([0x0a, 0x00, 0x1a, 0x00]);
const asIs = (bytes: Buffer): Buffer => bytes;

if (process.argv[1] === FILE) {
  const server = new Server();
  server.addService(
    {
      Check: {
        path: '/envoy.service.auth.v3.Authorization/Check',
        requestStream: false,
        responseStream: false,
        requestSerialize: asIs,
        requestDeserialize: asIs,
        responseSerialize: asIs,
        responseDeserialize: asIs,
      },
    },
    {Check: (_call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => answer(null, ALLOWED)},
  );
  server.bindAsync(`127.0.0.1:${process.argv[2]}`, ServerCredentials.createInsecure(), (error) => {
    if (error) throw error;
  });
}
