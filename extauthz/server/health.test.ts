import {create, fromBinary, toBinary} from '@bufbuild/protobuf';
import {Client, credentials, status} from '@grpc/grpc-js';
import {afterEach, expect, test} from '@jest/globals';
import {
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as Serving,
  HealthCheckResponseSchema,
} from '../gen/grpc/health/v1/health_pb.js';
import {grpcClient, serve} from '../testing/serving.ts';

const SERVICE = 'envoy.service.auth.v3.Authorization';
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});

const request = (service: string): Buffer =>
  Buffer.from(toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, {service})));
const servingOf = (bytes: Buffer): Serving => fromBinary(HealthCheckResponseSchema, bytes).status;

async function standing() {
  const serving = await serve({policy: 'not-loaded'});
  closing.push(() => serving.listener.close());
  const target = `127.0.0.1:${serving.listener.port}`;
  const client = grpcClient(target);
  closing.push(() => client.close());
  const check = async (service: string): Promise<Serving> =>
    servingOf(await client.call('/grpc.health.v1.Health/Check', request(service)));
  return {...serving, target, client, check};
}

test('serving is what we say of the whole and of each service', async () => {
  const {health, check} = await standing();
  expect([await check(''), await check(SERVICE)]).toEqual([Serving.NOT_SERVING, Serving.NOT_SERVING]);
  health.serving = true;
  expect([await check(''), await check(SERVICE)]).toEqual([Serving.SERVING, Serving.SERVING]);
});

test('a service that is not here is not found', async () => {
  const {client} = await standing();
  expect((await client.failure('/grpc.health.v1.Health/Check', request('other'))).code).toBe(status.NOT_FOUND);
});

test('who watches is told of each change, and once at first', async () => {
  const {health, target} = await standing();
  const watcher = new Client(target, credentials.createInsecure());
  closing.push(() => watcher.close());
  const asIs = (bytes: Buffer): Buffer => bytes;
  const seen: Serving[] = [];
  const call = watcher.makeServerStreamRequest('/grpc.health.v1.Health/Watch', asIs, servingOf, request(SERVICE));
  const told = (count: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (seen.length < count) return;
        call.off('data', look);
        resolve();
      };
      call.on('data', look);
      look();
    });
  call.on('data', (serving: Serving) => seen.push(serving));
  call.on('error', () => undefined);
  await told(1);
  health.serving = true;
  health.serving = true;
  await told(2);
  health.serving = false;
  await told(3);
  expect(seen).toEqual([Serving.NOT_SERVING, Serving.SERVING, Serving.NOT_SERVING]);
  const ended = new Promise<void>((resolve) => void call.on('end', resolve));
  health.close();
  await ended;
});
