/** What the tests of the upstream side share: servers on loopback that are closed afterwards, and a client that records. */
import type {AddressInfo, Server as NetServer, Socket} from 'node:net';
import type {Duplex} from 'node:stream';
import type {HeaderLines, Via} from '../../../policy/index.ts';
import type {Exchange, Failure, OutgoingRequest, ResponseHandlers, Route, Upstream} from '../contract.ts';
import {createUpstream, type OwnedUpstream, type UpstreamOptions} from '../index.ts';

/** Everything opened by a test; closed by `closeAll` in afterEach. */
const opened: (() => void)[] = [];
/** Counts the tests, so that what waits in one does not outlive it. */
let generation = 0;

export function onClose(close: () => void): void {
  opened.push(close);
}

export function closeAll(): void {
  generation++;
  for (const close of opened.splice(0).reverse()) close();
}

/** Listens on loopback; the port. Connections are cut at the end. */
export async function listening(server: NetServer, host = '127.0.0.1', port = 0): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  onClose(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

export function upstreamWith(options: Partial<UpstreamOptions> = {}): OwnedUpstream {
  const upstream = createUpstream({
    isOwnListener: () => false,
    mustUseOwnAddress: () => false,
    connectTransparent: null,
    resolver: {lookup: (names, _recent, done) => done(new Map(names.map((name) => [name, ['127.0.0.1']])))},
    proxy: () => undefined,
    upstreamCa: null,
    publicRoots: [],
    ...options,
  });
  onClose(() => upstream.close());
  return upstream;
}

export const DIRECT: Via = {kind: 'direct'};

export function route(port: number, more: Partial<Route> = {}): Route {
  return {
    scheme: 'https',
    name: 'a.test',
    port,
    dial: ['127.0.0.1'],
    via: DIRECT,
    workload: 'default/app',
    source: {ip: '127.0.0.1', port: 1},
    ...more,
  };
}

export function request(more: Partial<OutgoingRequest> = {}): OutgoingRequest {
  return {
    method: 'GET',
    target: '/',
    authority: 'a.test',
    headers: [],
    body: {kind: 'none'},
    client: 'h1',
    upgrade: null,
    wantsTrailers: false,
    expectContinue: false,
    ...more,
  };
}

/** All that was said of one request. */
export interface Seen {
  status: number | null;
  headers: HeaderLines;
  bytes: number | null | 'none';
  body: string;
  trailers: HeaderLines;
  informational: number[];
  failure: Failure | null;
  /** Names of the handlers in the order of their calls; body once for a run of chunks. */
  calls: string[];
  dialled: [string, string | null][];
  stream: Duplex | null;
}

export class Recorder implements ResponseHandlers {
  readonly seen: Seen = {
    status: null,
    headers: [],
    bytes: null,
    body: '',
    trailers: [],
    informational: [],
    failure: null,
    calls: [],
    dialled: [],
    stream: null,
  };
  /** Fulfilled at the end, a failure, or an upgrade. */
  readonly over: Promise<Seen>;
  readonly #settle: (seen: Seen) => void;
  readonly #waiting: {call: string; resolve: () => void}[] = [];
  /** What body() answers. */
  ready = true;

  constructor() {
    const {promise, resolve} = Promise.withResolvers<Seen>();
    this.over = promise;
    this.#settle = resolve;
  }

  /** Fulfilled when that handler has been called. */
  called(call: string): Promise<void> {
    if (this.seen.calls.includes(call)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({call, resolve}));
  }

  #call(name: string): void {
    if (name !== 'body' || this.seen.calls.at(-1) !== 'body') this.seen.calls.push(name);
    for (const waiting of this.#waiting.slice()) if (waiting.call === name) waiting.resolve();
  }

  informational(status: number): void {
    this.seen.informational.push(status);
    this.#call('informational');
  }

  head(status: number, headers: HeaderLines, bytes: number | null | 'none'): void {
    Object.assign(this.seen, {status, headers, bytes});
    this.#call('head');
  }

  body(chunk: Buffer): boolean {
    this.seen.body += chunk.toString('latin1');
    this.#call('body');
    return this.ready;
  }

  end(trailers: HeaderLines): void {
    this.seen.trailers = trailers;
    this.#call('end');
    this.#settle(this.seen);
  }

  upgraded(headers: HeaderLines, stream: Duplex): void {
    Object.assign(this.seen, {headers, stream});
    onClose(() => stream.destroy());
    stream.on('error', () => {});
    this.#call('upgraded');
    this.#settle(this.seen);
  }

  drain(): void {
    this.#call('drain');
  }

  failed(failure: Failure): void {
    this.seen.failure = failure;
    this.#call('failed');
    this.#settle(this.seen);
  }

  dialled(address: string, proxy: string | null): void {
    this.seen.dialled.push([address, proxy]);
    this.#call('dialled');
  }
}

/** Sends a request, with its body in the pieces given, and waits for what comes of it. */
export function send(
  upstream: Upstream,
  to: Route,
  what: OutgoingRequest = request(),
  body: readonly string[] = [],
): Promise<Seen> {
  const recorder = new Recorder();
  const exchange = upstream.request(to, what, recorder);
  for (const piece of body) exchange.write(Buffer.from(piece, 'latin1'));
  exchange.end([]);
  return recorder.over;
}

export function begin(upstream: Upstream, to: Route, what: OutgoingRequest): {recorder: Recorder; exchange: Exchange} {
  const recorder = new Recorder();
  return {recorder, exchange: upstream.request(to, what, recorder)};
}

/** The value of a header line, by its lower-case name. */
export function header(lines: HeaderLines, name: string): string | undefined {
  for (let i = 0; i < lines.length; i += 2) if (lines[i]!.toLowerCase() === name) return lines[i + 1];
  return undefined;
}

/** Fulfilled when the condition holds; looks again at each turn of the event loop, and gives up with its test. */
export async function until(condition: () => boolean): Promise<void> {
  const mine = generation;
  while (!condition()) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (generation !== mine) throw new Error('the test is over and this never held');
  }
}
