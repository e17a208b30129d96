import {X509Certificate} from 'node:crypto';
import {mkdtempSync, rmSync} from 'node:fs';
import {once} from 'node:events';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {create, fromBinary, type MessageInitShape} from '@bufbuild/protobuf';
import {
  ChannelCredentials,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js';
import {afterEach, describe, expect, test} from '@jest/globals';
import {createLeafMint, ephemeralCa} from '../../pki/index.ts';
import type {PolicySet} from '../../policy/index.ts';
import {APP, policies} from '../../policy/testing/asking.ts';
import {SecretSchema} from '../gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
} from '../gen/envoy/service/discovery/v3/discovery_pb.js';
import type {SecretEvent, SecretPeers, SecretService} from './contract.ts';
import {createSecretService} from './service.ts';
import {meshCa} from './testing/mesh-ca.ts';
import type {Room} from './places.ts';

const ca = ephemeralCa();
const mesh = meshCa();
const SEEN = policies('  - {name: seen, to: {hosts: ["*.example"]}}');
const ROUNDS = 300;
const GATEWAY = 'gateway.peers.example';

type Stream = ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

interface World {
  readonly service: SecretService;
  readonly events: SecretEvent[];
  policies: PolicySet;
  readonly open: (method?: 'DeltaSecrets' | 'StreamSecrets') => Stream;
}

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

interface Options {
  readonly peers?: SecretPeers;
  readonly room?: Room;
  /** Over TLS with this client certificate; null: in the clear on a port. Default: a unix socket. */
  readonly client?: string | null;
}

async function world({peers = 'unix-socket', room, client}: Options = {}): Promise<World> {
  const events: SecretEvent[] = [];
  const state = {policies: SEEN};
  const service = createSecretService({
    policies: () => state.policies,
    workloads: () => [APP],
    leaves: createLeafMint({ca}),
    peers,
    notify: (event) => events.push(event),
    ...(room === undefined ? {} : {room}),
  });
  const server = new Server();
  server.addService(service.definition, service.implementation);
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-sds-'));
  const tls = typeof client === 'string';
  const address = client === undefined ? `unix:${dir}/sds.sock` : '127.0.0.1:0';
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(
      address,
      tls ? ServerCredentials.createSsl(mesh.root, [mesh.pair('localhost')], true) : ServerCredentials.createInsecure(),
      (error, bound) => (error === null ? resolve(bound) : reject(error)),
    ),
  );
  const own = tls ? mesh.pair(client) : null;
  const channel = new (makeGenericClientConstructor(service.definition, 'SecretDiscoveryService'))(
    client === undefined ? address : `127.0.0.1:${port}`,
    own === null
      ? ChannelCredentials.createInsecure()
      : ChannelCredentials.createSsl(mesh.root, own.private_key, own.cert_chain),
    {'grpc.ssl_target_name_override': 'localhost'},
  );
  ends.push(() => {
    channel.close();
    server.forceShutdown();
    rmSync(dir, {recursive: true, force: true});
  });
  const methods = channel as unknown as Record<string, () => Stream>;
  return {
    service,
    events,
    get policies() {
      return state.policies;
    },
    set policies(set) {
      state.policies = set;
    },
    open: (method = 'DeltaSecrets') => {
      const stream = methods[method]!.call(channel);
      stream.on('error', () => undefined);
      return stream;
    },
  };
}

const ask = (stream: Stream, part: MessageInitShape<typeof DeltaDiscoveryRequestSchema>): void => {
  stream.write(create(DeltaDiscoveryRequestSchema, part));
};
const subscribe = (stream: Stream, ...names: string[]): void => ask(stream, {resourceNamesSubscribe: names});
const response = async (stream: Stream): Promise<DeltaDiscoveryResponse> =>
  ((await once(stream, 'data')) as [DeltaDiscoveryResponse])[0];
const failure = async (stream: Stream): Promise<string> => {
  const [error] = (await once(stream, 'error')) as [ServiceError];
  return error.message;
};

describe('over a unix socket', () => {
  test('a name gets its certificate as Envoy reads it', async () => {
    const {open} = await world();
    const stream = open();
    subscribe(stream, 'a.example');
    const {resources, removedResources, typeUrl, nonce} = await response(stream);
    expect([resources.length, removedResources, nonce]).toEqual([1, [], '1']);
    const [{name, ttl, resource}] = resources as [(typeof resources)[0]];
    expect([name, ttl!.seconds, resource!.typeUrl]).toEqual(['a.example', 3600n, typeUrl]);
    const {type} = fromBinary(SecretSchema, resource!.value);
    if (type.case !== 'tlsCertificate') throw new Error(`a ${type.case} came`);
    const {certificateChain, privateKey} = type.value;
    expect(new X509Certificate(certificateChain!.specifier.value as Uint8Array).subjectAltName).toBe('DNS:a.example');
    expect(Buffer.from(privateKey!.specifier.value as Uint8Array).toString()).toContain('PRIVATE KEY');
    stream.end();
  });

  test('a name that could only pass through, and what is no name, get none', async () => {
    const here = await world();
    here.policies = policies('  - {name: unread, to: {hosts: ["*.example"], schemes: [tls]}}');
    const stream = here.open();
    subscribe(stream, 'a.example', '_no_sni_', '10.0.0.1');
    const {resources, removedResources} = await response(stream);
    expect([resources, removedResources]).toEqual([[], ['a.example', '_no_sni_', '10.0.0.1']]);
    expect(here.service.stats()).toMatchObject({minted: 0, none: 3});
    stream.end();
  });

  test('a change of policy takes back what is no longer inspected, and gives what now is, unasked', async () => {
    const here = await world();
    const stream = here.open();
    subscribe(stream, 'a.example');
    await response(stream);
    here.policies = policies('  - {name: unread, to: {hosts: ["*.example"], schemes: [tls]}}');
    const taken = response(stream);
    await here.service.changed('policies');
    expect((await taken).removedResources).toEqual(['a.example']);
    here.policies = SEEN;
    const given = response(stream);
    await here.service.changed('policies');
    expect((await given).resources.map(({name}) => name)).toEqual(['a.example']);
    stream.end();
  });

  test('a new CA means new certificates, unasked', async () => {
    const here = await world();
    const stream = here.open();
    subscribe(stream, 'a.example');
    const [before] = (await response(stream)).resources;
    const renewed = response(stream);
    await here.service.changed('ca');
    const [after] = (await renewed).resources;
    expect(after!.name).toBe('a.example');
    expect(after!.version).not.toBe(before!.version);
    stream.end();
  });

  test('a stream that ends leaves its places', async () => {
    const here = await world();
    const stream = here.open();
    subscribe(stream, 'a.example', 'b.example', 'denied.test');
    await response(stream);
    expect(here.service.stats()).toMatchObject({streams: 1, inspected: 2, refused: 1});
    stream.end();
    await once(stream, 'status');
    // The server's half closes after the client has its status.
    while (here.service.stats().streams > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(here.service.stats()).toMatchObject({streams: 0, inspected: 0, refused: 0});
  });

  test('the oldest name makes room, on whichever stream it is; a name in use does not, for one that is refused', async () => {
    const here = await world({room: {inspected: 1, refused: 1, none: 1}});
    const [first, second] = [here.open(), here.open()];
    subscribe(first, 'a.example');
    await response(first);
    subscribe(second, '1.invented');
    await response(second);
    const both = once(second, 'data');
    subscribe(second, '2.invented');
    await both;
    const evicted = response(first);
    subscribe(second, 'b.example');
    expect((await evicted).removedResources).toEqual(['a.example']);
    expect(here.service.stats()).toMatchObject({inspected: 1, refused: 1});
    first.end();
    second.end();
  });

  test('a request for more names than there are places leaves the client with the last of them, and knowing it', async () => {
    const here = await world({room: {inspected: 2, refused: 1, none: 1}});
    const stream = here.open();
    const has = new Set<string>();
    stream.on('data', ({resources, removedResources}: DeltaDiscoveryResponse) => {
      for (const {name} of resources) has.add(name);
      for (const name of removedResources) has.delete(name);
    });
    subscribe(stream, 'a.example', 'b.example', 'c.example', 'd.example');
    stream.end();
    await once(stream, 'status');
    expect([...has]).toEqual(['c.example', 'd.example']);
  });

  test('what Envoy could not use is told, without raw client text', async () => {
    const here = await world();
    const stream = here.open();
    subscribe(stream, 'a.example');
    const {nonce} = await response(stream);
    ask(stream, {
      responseNonce: nonce,
      errorDetail: {code: 13, message: 'bad\nkey'},
      resourceNamesSubscribe: ['b.example'],
    });
    await response(stream);
    expect(here.events).toEqual([{kind: 'rejected', names: ['a.example'], message: 'bad\\x0akey'}]);
    stream.end();
  });

  test('StreamSecrets and other types are refused with what to write', async () => {
    const {open} = await world();
    const stream = open('StreamSecrets');
    expect(await failure(stream)).toMatch(/UNIMPLEMENTED: only DeltaSecrets.*DELTA_GRPC/);
    const other = open();
    const failed = failure(other);
    ask(other, {typeUrl: 'type.googleapis.com/envoy.config.listener.v3.Listener', resourceNamesSubscribe: ['x']});
    expect(await failed).toMatch(/INVALID_ARGUMENT: only type.googleapis.com.*Secret is served here/);
  });

  test('a new stream is refused where there are too many, and those that live go on', async () => {
    const here = await world({room: {inspected: 0, refused: 0, none: 0}});
    const streams = Array.from({length: 1024}, () => here.open());
    for (const stream of streams) subscribe(stream, '_no_sni_');
    await Promise.all(streams.map((stream) => once(stream, 'data')));
    expect(await failure(here.open())).toMatch(/RESOURCE_EXHAUSTED/);
    expect(here.events).toEqual([{kind: 'too-many-streams', limit: 1024}]);
    subscribe(streams[0]!, '_no_sni_');
    expect((await response(streams[0]!)).removedResources).toEqual(['_no_sni_']);
    for (const stream of streams) stream.cancel();
  });

  test('a client that asks and does not read is not read from, and told of many changes at once', async () => {
    const here = await world();
    const [slow, other] = [here.open(), here.open()];
    const has = new Set<string>();
    let responses = 0;
    slow.on('data', ({resources, removedResources}: DeltaDiscoveryResponse) => {
      responses++;
      for (const {name} of resources) has.add(name);
      for (const name of removedResources) has.delete(name);
    });
    slow.pause();
    const names = Array.from({length: 1000}, (_, i) => `n${i}.example`);
    // All of it fits into the stream's window. While another stream is answered so often, it would all be read.
    for (const name of names) subscribe(slow, name);
    for (let i = 0; i < ROUNDS; i++) {
      const answered = response(other);
      subscribe(other, 'other.example');
      await answered;
    }
    expect(here.service.stats().minted).toBeLessThan(300);

    const unread = policies('  - {name: unread, to: {hosts: ["*.example"], schemes: [tls]}}');
    for (let i = 0; i < 100; i++) {
      here.policies = i % 2 === 0 ? unread : SEEN;
      await here.service.changed('policies');
    }
    here.policies = unread;
    await here.service.changed('policies');
    slow.resume();
    slow.end();
    await once(slow, 'status');
    expect([...has]).toEqual([]);
    expect(responses).toBeLessThan(names.length + 50);
    other.end();
  });

  test('a name that is unsubscribed from leaves its place', async () => {
    const here = await world();
    const stream = here.open();
    subscribe(stream, 'a.example', 'b.example');
    await response(stream);
    ask(stream, {resourceNamesUnsubscribe: ['a.example'], resourceNamesSubscribe: ['c.example']});
    await response(stream);
    expect(here.service.stats()).toMatchObject({inspected: 2});
    stream.end();
  });

  test('close ends the streams, so that clients go elsewhere', async () => {
    const here = await world();
    const stream = here.open();
    subscribe(stream, 'a.example');
    await response(stream);
    const ended = once(stream, 'status');
    here.service.close();
    expect((await ended)[0]).toMatchObject({code: 0});
  });
});

describe('over a port', () => {
  test('a listed identity is given secrets', async () => {
    const {open} = await world({peers: new Set([GATEWAY]), client: GATEWAY});
    const stream = open();
    subscribe(stream, 'a.example');
    expect((await response(stream)).resources.length).toBe(1);
    stream.end();
  });

  test.each([
    [
      'another certificate of the same CA',
      {peers: new Set([GATEWAY]), client: 'app.peers.example'},
      ['app.peers.example'],
    ],
    ['a list where the connection has no TLS', {peers: new Set([GATEWAY]), client: null}, []],
    ['a port without TLS that was meant to be a unix socket', {client: null}, []],
  ])('%s is given nothing, and that is told', async (_what, options, identities) => {
    const here = await world(options);
    const stream = here.open();
    subscribe(stream, 'a.example');
    stream.on('data', () => {
      throw new Error('a secret was handed out');
    });
    expect(await failure(stream)).toMatch(/PERMISSION_DENIED.*--sds-peer/);
    expect(here.events).toEqual([{kind: 'peer-refused', identities}]);
    expect(here.service.stats().minted).toBe(0);
  });
});
