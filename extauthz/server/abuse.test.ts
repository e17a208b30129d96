/** Whatever comes over the wire: a clear error, bounded memory, and the next Check is answered. */
import {once} from 'node:events';
import {connect as connectTcp} from 'node:net';
import {gzipSync} from 'node:zlib';
import {afterEach, describe, expect, test} from '@jest/globals';
import {status} from '@grpc/grpc-js';
import {EXTAUTHZ_LIMITS} from '../limits.ts';
import {question, SITE} from '../testing/asking.ts';
import {CHECK_PATH, framed, grpcClient, rawCall, rawClient, serve, type Serving} from '../testing/serving.ts';

const POLICY = `\n  - {name: web, to: {hosts: [${SITE}], schemes: [http]}}\n`;
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});

async function standing(limits?: NonNullable<Parameters<typeof serve>[1]>['limits']) {
  const serving: Serving = await serve({policy: POLICY}, limits === undefined ? {} : {limits});
  closing.push(() => serving.listener.close());
  const {port} = serving.listener;
  const client = grpcClient(`127.0.0.1:${port}`);
  closing.push(() => client.close());
  const raw = rawClient(port);
  closing.push(() => raw.destroy());
  return {
    ...serving,
    port,
    client,
    raw,
    stillServes: async () => expect((await client.check(question({}))).status?.code).toBe(0),
  };
}
const varint = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)]);
const GRPC = {'content-type': 'application/grpc', te: 'trailers'};

describe('a message', () => {
  test('of 10 MB of headers is refused by its size', async () => {
    const {client, stillServes} = await standing();
    const raw = Array.from({length: 100}, (_v, i) => [`x-${i}`, 'v'.repeat(100_000)] as const);
    expect(await client.failure(CHECK_PATH, question({raw}))).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: expect.stringContaining(String(EXTAUTHZ_LIMITS.messageBytes)),
    });
    await stillServes();
  });

  test('of a 10 MB body is refused by its size', async () => {
    const {client, stillServes} = await standing();
    expect((await client.failure(CHECK_PATH, question({body: 'x'.repeat(10_000_000)}))).code).toBe(
      status.RESOURCE_EXHAUSTED,
    );
    await stillServes();
  });

  test('that is no protobuf is a refused Check, never an allowed one', async () => {
    const {client, stillServes} = await standing();
    for (const bytes of [
      Buffer.from('garbage'),
      Buffer.alloc(1_000, 0xff),
      Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    ]) {
      const {status: code, httpResponse} = await client.check(bytes);
      expect(code?.code).toBe(3);
      expect(httpResponse).toMatchObject({case: 'deniedResponse', value: {status: {code: 400}}});
    }
    await stillServes();
  });

  test('that is nested twenty thousand deep is refused, and the stack holds', async () => {
    const {client, stillServes} = await standing();
    // attributes.metadata_context.filter_metadata["k"] is a Struct, whose values are Structs; written from the inside.
    const parts: Buffer[] = [Buffer.from([0x22, 0x00])];
    let length = 2;
    const wrap = (...tags: number[]): void => {
      for (const tag of tags) {
        const head = Buffer.from([tag, ...varint(length)]);
        parts.push(head);
        length += head.length;
      }
    };
    // Value.struct_value, Struct.fields' value.
    for (let i = 0; i < 20_000; i++) wrap(0x2a, 0x12, 0x0a);
    wrap(0x12, 0x0a, 0x5a, 0x0a);
    const message = Buffer.concat(parts.reverse());
    expect((await client.check(message)).status?.code).not.toBe(0);
    await stillServes();
  });

  test('that says it is longer than it is, or is not there, is an error', async () => {
    const {raw, stillServes} = await standing();
    const message = question({});
    for (const body of [
      framed(message, 0xffff_ffff),
      framed(message, message.length + 1),
      Buffer.alloc(0),
      Buffer.alloc(3),
    ]) {
      const answered = await rawCall(raw, GRPC, body);
      expect(answered?.['grpc-status']).not.toBe('0');
    }
    await stillServes();
  });

  test('that is a bomb when decompressed is refused by the size that it would have', async () => {
    const {raw, stillServes} = await standing();
    const bomb = framed(gzipSync(Buffer.alloc(200 * 1024 * 1024)));
    bomb[0] = 1;
    const answered = await rawCall(raw, {...GRPC, 'grpc-encoding': 'gzip'}, bomb);
    expect(answered?.['grpc-status']).toBe(String(status.RESOURCE_EXHAUSTED));
    await stillServes();
  });

  test('followed by another in the same unary call is an error', async () => {
    const {raw, stillServes} = await standing();
    const two = Buffer.concat([framed(question({})), framed(question({}))]);
    expect((await rawCall(raw, GRPC, two))?.['grpc-status']).not.toBe('0');
    await stillServes();
  });
});

describe('a call', () => {
  test.each([
    ['/envoy.service.auth.v3.Authorization/Allow'],
    ['/envoy.service.auth.v2.Authorization/Check'],
    ['/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets'],
    ['/'],
  ])('of %s is unimplemented', async (path) => {
    const {client, stillServes} = await standing();
    expect((await client.failure(path, question({}))).code).toBe(status.UNIMPLEMENTED);
    await stillServes();
  });

  test('that is no gRPC is told so', async () => {
    const {raw, stillServes} = await standing();
    expect((await rawCall(raw, {'content-type': 'application/json'}, Buffer.from('{}')))?.[':status']).toBe(415);
    await stillServes();
  });

  test('with more metadata than a call has is refused', async () => {
    const {raw, stillServes} = await standing();
    const large = {...GRPC, 'x-a': 'v'.repeat(40_000), 'x-b': 'v'.repeat(40_000)};
    expect((await rawCall(raw, large, framed(question({}))))?.['grpc-status']).not.toBe('0');
    const many = Object.fromEntries(Array.from({length: 200}, (_v, i) => [`x-${i}`, 'v']));
    expect((await rawCall(raw, {...GRPC, ...many}, framed(question({}))))?.['grpc-status']).not.toBe('0');
    await stillServes();
  });
});

describe('a connection', () => {
  test('may have so many calls at once, and no more', async () => {
    const {raw, client, stillServes} = await standing({streamsPerConnection: 8});
    await once(raw, 'remoteSettings');
    expect(raw.remoteSettings.maxConcurrentStreams).toBe(8);
    // Open calls that send nothing hold nobody else's.
    for (let i = 0; i < 8; i++) void rawCall(raw, GRPC, null);
    expect((await client.check(question({}))).status?.code).toBe(0);
    await stillServes();
  });

  test('beyond the limit is closed at once', async () => {
    const {port, stillServes} = await standing({connections: 2});
    await stillServes();
    const sockets = Array.from({length: 4}, () => connectTcp(port, '127.0.0.1'));
    closing.push(() => sockets.forEach((socket) => socket.destroy()));
    const closed = sockets.map(
      (socket) => new Promise<void>((resolve) => socket.on('error', () => undefined).on('close', () => resolve())),
    );
    await Promise.any(closed);
    await stillServes();
  });

  /** TCP connections that say nothing; each with its end. */
  function silent(port: number, from: string, count: number): Promise<void>[] {
    const sockets = Array.from({length: count}, () => connectTcp({port, host: '127.0.0.1', localAddress: from}));
    closing.push(() => sockets.forEach((socket) => socket.destroy()));
    return sockets.map(
      (socket) =>
        new Promise<void>((resolve) =>
          socket
            .on('error', () => undefined)
            .on('close', () => resolve())
            .resume(),
        ),
    );
  }

  test('of one address takes no place from the others', async () => {
    const {port, listener, raw, stillServes} = await standing({connections: 8, connectionsPerAddress: 4});
    await once(raw, 'remoteSettings');
    // Five of nine are closed; what stays leaves room.
    const ends = silent(port, '127.0.0.2', 9);
    let ended = 0;
    await new Promise<void>((resolve) => ends.forEach((end) => void end.then(() => ++ended === 5 && resolve())));
    expect(listener.connections).toBe(1 + 4);
    await stillServes();
  });

  test('that has ended leaves its place to the next of its address', async () => {
    const {port, listener, raw} = await standing({connectionsPerAddress: 1});
    for (let i = 0, session = raw; i < 3; i++, session = rawClient(port)) {
      closing.push(() => session.destroy());
      await once(session, 'remoteSettings');
      session.destroy();
      while (listener.connections > 0) await new Promise((resolve) => setImmediate(resolve));
    }
  });

  test('that says nothing is closed after a while, and one that spoke stays', async () => {
    const {port, listener, raw, stillServes} = await standing({handshakeMs: 50});
    await once(raw, 'remoteSettings');
    await Promise.all(silent(port, '127.0.0.2', 2));
    while (listener.connections > 1) await new Promise((resolve) => setImmediate(resolve));
    expect(raw.closed).toBe(false);
    await stillServes();
  });

  test('that is no HTTP/2 is closed', async () => {
    const {port, stillServes} = await standing();
    const socket = connectTcp(port, '127.0.0.1');
    socket.on('error', () => undefined).resume();
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'close');
    await stillServes();
  });

  test('that holds the memory with unfinished messages is the one that is cut', async () => {
    const {raw, listener, client, stillServes} = await standing();
    await stillServes();
    const half = framed(Buffer.alloc(60_000), 200_000);
    const calls = Array.from({length: 8}, () => {
      const stream = raw.request({':method': 'POST', ':path': CHECK_PATH, ...GRPC});
      stream.on('error', () => undefined);
      return new Promise<void>((resolve) => stream.write(half, () => resolve()));
    });
    await Promise.all(calls);
    // An answer to a later PING: all of it has arrived.
    await new Promise((resolve) => raw.ping(() => resolve(null)));
    const cut = once(raw, 'close');
    listener.shed();
    await cut;
    await stillServes();
    expect(client.client.getChannel().getConnectivityState(false)).toBe(2);
  });
});
