/** grpc.health.v1.Health: serving while policies are loaded and nothing drains. */
import {fromBinary, toBinary, create, type DescMessage, type MessageShape} from '@bufbuild/protobuf';
import {
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import {
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as Serving,
  HealthCheckResponseSchema,
  type HealthCheckRequest,
  type HealthCheckResponse,
} from '../gen/grpc/health/v1/health_pb.js';

export const HEALTH: ServiceDefinition = {
  Check: method('Check', false),
  Watch: method('Watch', true),
};

function method(name: string, streams: boolean) {
  const read =
    <T extends DescMessage>(schema: T) =>
    (bytes: Buffer): MessageShape<T> =>
      fromBinary(schema, bytes);
  const write =
    <T extends DescMessage>(schema: T) =>
    (message: MessageShape<T>): Buffer =>
      Buffer.from(toBinary(schema, message));
  return {
    path: `/grpc.health.v1.Health/${name}`,
    requestStream: false,
    responseStream: streams,
    requestSerialize: write(HealthCheckRequestSchema),
    requestDeserialize: read(HealthCheckRequestSchema),
    responseSerialize: write(HealthCheckResponseSchema),
    responseDeserialize: read(HealthCheckResponseSchema),
  };
}

/** Watchers at once: probes ask, few watch. */
const MAX_WATCHERS = 1_000;

type WatchCall = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

export class Health {
  readonly #known: ReadonlySet<string>;
  readonly #watchers = new Set<WatchCall>();
  #serving = false;

  /** `services`: the names that are asked about; the empty one is the whole server. */
  constructor(services: readonly string[]) {
    this.#known = new Set(['', ...services]);
  }

  set serving(serving: boolean) {
    if (serving === this.#serving) return;
    this.#serving = serving;
    for (const call of this.#watchers) if (this.#known.has(call.request.service)) call.write(this.#answer());
  }

  #answer(): HealthCheckResponse {
    return create(HealthCheckResponseSchema, {status: this.#serving ? Serving.SERVING : Serving.NOT_SERVING});
  }

  get implementation(): UntypedServiceImplementation {
    return {
      Check: (
        call: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>,
        answer: sendUnaryData<HealthCheckResponse>,
      ) => {
        if (this.#known.has(call.request.service)) answer(null, this.#answer());
        else answer({code: status.NOT_FOUND, details: 'no such service here'});
      },
      Watch: (call: WatchCall) => {
        if (this.#watchers.size >= MAX_WATCHERS) {
          call.emit('error', {code: status.RESOURCE_EXHAUSTED, details: `${MAX_WATCHERS} watch already`});
          return;
        }
        this.#watchers.add(call);
        for (const event of ['cancelled', 'close', 'error']) call.on(event, () => this.#watchers.delete(call));
        call.write(
          this.#known.has(call.request.service)
            ? this.#answer()
            : create(HealthCheckResponseSchema, {status: Serving.SERVICE_UNKNOWN}),
        );
      },
    };
  }

  /** Ends every watch: a drain would wait for them. */
  close(): void {
    for (const call of this.#watchers) call.end();
    this.#watchers.clear();
  }
}
