/** The secret discovery service at its edge: grpc-js streams in, the state machine of stream.ts within. */
import {status, type ServerDuplexStream, type ServiceDefinition} from '@grpc/grpc-js';
import {fromBinary, toBinary, type DescMessage, type MessageShape} from '@bufbuild/protobuf';
import {printable} from '../../runtime/printable.ts';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
} from '../gen/envoy/service/discovery/v3/discovery_pb.js';
import type {SecretEvent, SecretPeers, SecretService, SecretServiceOptions} from './contract.ts';
import {readRequest, writeResponse} from './messages.ts';
import {identitiesOf} from './peers.ts';
import {DEFAULT_ROOM, Places, type Kind} from './places.ts';
import {Secrets} from './secrets.ts';
import {SecretStream, type Output} from './stream.ts';

type Call = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

/** Streams judged again in one turn of the event loop, so that Checks are answered in between. */
const STREAMS_PER_TURN = 64;
/** Envoy opens a stream for each name, and ends it when the name is gone: as many as there are places, and some that just come. */
const SPARE_STREAMS = 1024;
const MAX_NAMES_IN_EVENT = 8;

/** Makes the service. It holds no timers and no sockets of its own. */
export function createSecretService(options: SecretServiceOptions): SecretService {
  const {peers, notify, room = DEFAULT_ROOM} = options;
  const maxStreams = room.inspected + room.refused + room.none + SPARE_STREAMS;
  const secrets = new Secrets({
    policies: options.policies,
    workloads: options.workloads,
    leaves: options.leaves,
    now: options.now ?? Date.now,
    onMintLimited: (perSecond) => notify({kind: 'too-many-mints', perSecond}),
    onMintFailed: (name, error) =>
      notify({
        kind: 'mint-failed',
        name: printable(name),
        message: error instanceof Error ? error.message : String(error),
      }),
  });
  const places = new Places<Client>(room);
  const clients = new Set<Client>();

  const open = (call: Call): void => {
    const refusal = refusedPeer(call, peers);
    if (refusal !== null) {
      notify(refusal);
      fail(call, status.PERMISSION_DENIED, 'this peer may not be given private keys; see --sds-peer');
      return;
    }
    if (clients.size >= maxStreams) {
      notify({kind: 'too-many-streams', limit: maxStreams});
      fail(call, status.RESOURCE_EXHAUSTED, `there are ${maxStreams} streams already`);
      return;
    }
    const client = new Client(call, secrets, places, notify);
    clients.add(client);
    call.once('close', () => {
      clients.delete(client);
      client.leave();
    });
  };

  return {
    definition: SECRETS,
    implementation: {
      DeltaSecrets: open,
      StreamSecrets: (call: Call) => fail(call, status.UNIMPLEMENTED, ONLY_DELTA),
      FetchSecrets: (_call: unknown, answer: (error: object) => void) =>
        answer({code: status.UNIMPLEMENTED, details: ONLY_DELTA}),
    },
    async changed(what) {
      secrets.forgetJudgements();
      if (what === 'ca') secrets.forgetLeaves();
      let turn = 0;
      for (const client of [...clients]) {
        client.rejudge();
        if (++turn % STREAMS_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    },
    stats: () => ({
      streams: clients.size,
      inspected: places.taken('inspected'),
      refused: places.taken('refused'),
      none: places.taken('none'),
      minted: secrets.minted,
    }),
    close() {
      for (const client of clients) client.end();
    },
  };
}

/** One stream with its call. */
class Client {
  readonly #call: Call;
  readonly #places: Places<Client>;
  readonly #notify: (event: SecretEvent) => void;
  readonly #stream: SecretStream;
  /** Who had to make room while answers were made: told afterwards, so that what is told last is what is so. */
  #evicted: {readonly owner: Client; readonly name: string}[] = [];
  /** The client does not read as fast as we write: it is not read from until it has. */
  #blocked = false;
  #changedMeanwhile = false;

  constructor(call: Call, secrets: Secrets, places: Places<Client>, notify: (event: SecretEvent) => void) {
    this.#call = call;
    this.#places = places;
    this.#notify = notify;
    this.#stream = new SecretStream((name) => {
      const {outlook, secret} = secrets.get(name);
      const evicted = places.take(this, name, kindOf(outlook, secret !== null));
      if (evicted !== null) this.#evicted.push(evicted);
      return secret;
    });
    call.on('data', (message: DeltaDiscoveryRequest) => this.#receive(message));
    call.on('drain', () => this.#drained());
    call.on('end', () => call.end());
    // A client that goes away is no error of ours.
    call.on('error', () => undefined);
  }

  rejudge(): void {
    if (this.#blocked) this.#changedMeanwhile = true;
    else this.#tell(this.#stream.rejudge());
  }

  evict(name: string): void {
    this.#tell(this.#stream.evict(name));
  }

  leave(): void {
    for (const name of this.#stream.names) this.#places.leave(this, name);
  }

  end(): void {
    this.#call.end();
  }

  #receive(message: DeltaDiscoveryRequest): void {
    const request = readRequest(message);
    for (const name of request.unsubscribe) this.#places.leave(this, name);
    this.#tell(this.#stream.receive(request));
  }

  #tell(outputs: readonly Output[]): void {
    for (const output of outputs) this.#perform(output);
    const evicted = this.#evicted;
    if (evicted.length === 0) return;
    this.#evicted = [];
    for (const {owner, name} of evicted) owner.evict(name);
  }

  #perform(output: Output): void {
    switch (output.kind) {
      case 'respond':
        if (this.#call.write(writeResponse(output.response)) || this.#blocked) return;
        this.#blocked = true;
        this.#call.pause();
        return;
      case 'rejected':
        this.#notify({
          kind: 'rejected',
          names: output.names.slice(0, MAX_NAMES_IN_EVENT).map((name) => printable(name)),
          message: printable(output.error),
        });
        return;
      case 'end':
        fail(this.#call, status.INVALID_ARGUMENT, output.message);
        return;
    }
  }

  #drained(): void {
    this.#blocked = false;
    this.#call.resume();
    if (!this.#changedMeanwhile) return;
    this.#changedMeanwhile = false;
    this.rejudge();
  }
}

function kindOf(outlook: string, minted: boolean): Kind {
  if (!minted) return 'none';
  return outlook === 'inspected' ? 'inspected' : 'refused';
}

/** null: the peer may be given secrets. */
function refusedPeer(call: Call, peers: SecretPeers): SecretEvent | null {
  if (peers === 'unix-socket') {
    // A unix socket has no addresses. If ever the service is put on a port without TLS, nothing is handed out there.
    return call.getPeer() === 'unknown' ? null : {kind: 'peer-refused', identities: []};
  }
  const identities = identitiesOf(call.getAuthContext().sslPeerCertificate);
  if (identities.some((identity) => peers.has(identity))) return null;
  return {kind: 'peer-refused', identities: identities.slice(0, MAX_NAMES_IN_EVENT).map((name) => printable(name))};
}

function fail(call: Call, code: status, details: string): void {
  call.emit('error', Object.assign(new Error(details), {code, details}));
}

const ONLY_DELTA = 'only DeltaSecrets is served; write api_type: DELTA_GRPC';

const PATH = '/envoy.service.secret.v3.SecretDiscoveryService';

/** The service as grpc-js takes it, for servers and clients. */
export const SECRETS: ServiceDefinition = {
  DeltaSecrets: method('DeltaSecrets', true, DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema),
  StreamSecrets: method('StreamSecrets', true, DiscoveryRequestSchema, DiscoveryResponseSchema),
  FetchSecrets: method('FetchSecrets', false, DiscoveryRequestSchema, DiscoveryResponseSchema),
};

function method<I extends DescMessage, O extends DescMessage>(name: string, streams: boolean, input: I, output: O) {
  return {
    path: `${PATH}/${name}`,
    requestStream: streams,
    responseStream: streams,
    requestSerialize: (message: MessageShape<I>) => Buffer.from(toBinary(input, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(input, bytes),
    responseSerialize: (message: MessageShape<O>) => Buffer.from(toBinary(output, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(output, bytes),
  };
}
