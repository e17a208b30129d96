/** A relay on loopback with a policy, an upstream and a journal of the test's own; the codec and the leaves are the real ones. */
import {createServer, connect, type AddressInfo, type Server, type Socket} from 'node:net';
import {connect as tlsConnect, type ConnectionOptions, type TLSSocket} from 'node:tls';
import {Duplex as Base, PassThrough, type Duplex} from 'node:stream';
import {createLeafSource, ephemeralCa} from '../../../pki/index.ts';
import {
  DENIAL_HEADER,
  type Decision,
  type EgressRequest,
  type Names,
  type Needs,
  type Workload,
} from '../../../policy/index.ts';
import type {Flow} from '../../../runtime/journal.ts';
import type {Filters} from '../../../filters/contract.ts';
import type {Exchange, OutgoingRequest, ResponseHandlers, Route, Upstream} from '../../upstream/contract.ts';
import {refusal} from '../answers.ts';
import {createRelay, type Relay, type RelayLimits} from '../index.ts';

export const POD: Workload = {
  namespace: 'default',
  namespaceLabels: {},
  name: 'pod',
  uid: 'uid-1',
  labels: {app: 'pod'},
  serviceAccount: 'default',
  node: null,
  trustsCa: true,
};

/** An allowing decision. */
export function allow(request: EgressRequest, more: Partial<Decision> = {}): Decision {
  return {
    ...refusal(request.id, 'RuleAllowed', 'allowed by the test', true),
    verdict: 'allow',
    wouldDeny: false,
    response: null,
    dial: ['192.0.2.1'],
    ...more,
  };
}

/** A denying one, with the status of a policy's `deny`. */
export function deny(request: EgressRequest, more: Partial<Decision> = {}): Decision {
  return {
    ...refusal(request.id, 'NoRuleMatched', 'no rule of the test', true),
    response: {status: 418, headers: ['content-type', 'text/plain', DENIAL_HEADER, request.id], body: 'by the test'},
    ...more,
  };
}

/** What most tests want: TLS is inspected, requests to /no are denied, opaque bytes refused. */
export function usual(request: EgressRequest): Decision | Needs {
  const {traffic} = request;
  switch (traffic.kind) {
    case 'unread':
      return {needs: 'bytes'};
    case 'tls':
      return {needs: 'request'};
    case 'opaque':
      return deny(request);
    case 'http':
    case 'https': {
      const {http} = traffic;
      const name = traffic.kind === 'https' ? traffic.tls.sni : null;
      const claimed = http.authority ?? http.host;
      if (
        (http.authority !== null && http.host !== null && http.authority !== http.host) ||
        (name !== null && claimed !== name)
      ) {
        return refusal(request.id, 'HostMismatch', 'the names disagree', true);
      }
      if (http.method === 'CONNECT' || http.upgrade.some((token) => token !== 'websocket'))
        return refusal(request.id, 'UnsupportedProtocol', 'not that protocol', true);
      return http.path.startsWith('/no') ? deny(request) : allow(request);
    }
  }
}

export interface Seen {
  readonly route: Route;
  readonly request: OutgoingRequest;
  readonly handlers: ResponseHandlers;
  /** Body so far. */
  body: string;
  ended: boolean;
  aborted: boolean;
  trailers: readonly string[];
}

/** What a server does with a request; default: 200 with a small body once the request is whole. */
export type Serve = (seen: Seen, event: 'head' | 'body' | 'end') => void;

export const hello: Serve = (seen, event) => {
  if (event !== 'end') return;
  seen.handlers.dialled('192.0.2.1:443', null);
  seen.handlers.head(
    200,
    ['Content-Type', 'text/plain', 'Alt-Svc', 'h3=":443"'],
    seen.request.method === 'HEAD' ? 'none' : 5,
  );
  if (seen.request.method !== 'HEAD') seen.handlers.body(Buffer.from('hello'));
  seen.handlers.end([]);
};

export interface World {
  readonly relay: Relay;
  readonly requests: Seen[];
  readonly tunnels: {readonly route: Route; readonly server: Duplex}[];
  readonly decisions: {readonly decision: Decision; readonly request: EgressRequest}[];
  readonly flows: Flow[];
  readonly counted: string[];
  /** Limits that were met. */
  readonly limits: string[];
  /** Replaced by tests at will. */
  decide: (request: EgressRequest, names: Names) => Decision | Needs;
  serve: Serve;
  /** Whether names are in the cache; as a rule none is. */
  known: (names: readonly string[]) => boolean;
  /** A tunnel is connected, and nobody knows yet. */
  whenDialled: () => void;
  workload: Workload | 'unknown';
  writable: boolean;
  readonly ca: string;
  plain(port?: 'captured' | 'explicit'): Promise<Client>;
  tls(options?: ConnectionOptions, over?: Socket): Promise<Client>;
  raw(port?: 'captured' | 'explicit'): Promise<Socket>;
  close(): Promise<void>;
}

/** A client and all that it was sent. */
export class Client {
  readonly socket: Duplex;
  received = '';
  ended = false;
  error: NodeJS.ErrnoException | null = null;
  #waiting: (() => void)[] = [];

  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1');
      this.#wake();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#wake();
    });
    socket.on('close', () => {
      this.ended = true;
      this.#wake();
    });
    socket.on('error', (error: Error) => {
      this.error = error;
      this.#wake();
    });
  }

  send(text: string): this {
    this.socket.write(text, 'latin1');
    return this;
  }

  /** Resolves when what was received satisfies the test, or fails when the connection ended before. */
  until(test: (received: string) => boolean): Promise<string> {
    return this.#when(
      () => test(this.received),
      () => this.received,
    );
  }

  /** Everything until the connection ended. */
  async all(): Promise<string> {
    await this.#when(
      () => this.ended,
      () => '',
    );
    return this.received;
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #when<T>(test: () => boolean, value: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (test()) resolve(value());
        else if (this.ended)
          reject(new Error(`the connection ended; received: ${JSON.stringify(this.received)}; ${String(this.error)}`));
        else this.#waiting.push(look);
      };
      look();
    });
  }
}

const ca = ephemeralCa();

export async function world(
  options: {
    limits?: Partial<RelayLimits>;
    filters?: Filters | null;
    port?: number;
    /** Where captured clients wanted to go. */
    ip?: string;
    isOwnListener?: (ip: string, port: number) => boolean;
  } = {},
): Promise<World> {
  const requests: Seen[] = [];
  const tunnels: World['tunnels'] = [];
  const decisions: World['decisions'] = [];
  const flows: Flow[] = [];
  const counted: string[] = [];
  const limits: string[] = [];
  const leaves = createLeafSource({ca});
  const upstream: Upstream = {
    request(route, request, handlers): Exchange {
      const seen: Seen = {route, request, handlers, body: '', ended: false, aborted: false, trailers: []};
      requests.push(seen);
      here.serve(seen, 'head');
      return {
        write(chunk) {
          seen.body += chunk.toString('latin1');
          here.serve(seen, 'body');
          return here.writable;
        },
        end(trailers) {
          seen.ended = true;
          seen.trailers = trailers;
          here.serve(seen, 'end');
        },
        abort() {
          seen.aborted = true;
        },
        resume() {
          here.serve(seen, 'body');
        },
      };
    },
    connect(route, done) {
      const [ours, server] = pair();
      tunnels.push({route, server});
      here.whenDialled();
      done({stream: ours, address: '192.0.2.1:443', proxy: null});
      return {cancel: () => ours.destroy()};
    },
    closeIdle() {
      // Nothing is pooled.
    },
  };
  const relay = createRelay({
    policies: () => ({}) as never,
    decide: (_policies, request, names) => here.decide(request, names),
    workloadAt: () => here.workload,
    known: (names) => here.known(names),
    resolve: (names, _recent, done) => done(new Map(names.map((name) => [name, ['192.0.2.1']]))),
    leaves,
    upstream,
    filters: options.filters ?? null,
    journal: {
      decision: (decision, request) => void decisions.push({decision, request}),
      flow: (flow) => void flows.push(flow),
      notice: () => undefined,
    },
    isOwnListener: options.isOwnListener ?? (() => false),
    limits: {detectTimeoutMs: 50, silentTimeoutMs: 50, ...options.limits},
    count: (event) => void counted.push(event),
    limited: (limit) => void limits.push(limit),
    proof: ({namespace, name, uid}) => ({
      pod: {namespace, name, uid},
      node: 'node-1',
      hold: 'locked',
      version: '1.2.3',
    }),
  });
  const servers: Record<'captured' | 'explicit', Server> = {
    captured: createServer({allowHalfOpen: true}, (socket) => {
      // Where the client wanted to go; capture tells it by the socket's own address.
      if (options.ip !== undefined) Object.defineProperty(socket, 'localAddress', {value: options.ip});
      if (options.port !== undefined) Object.defineProperty(socket, 'localPort', {value: options.port});
      relay.captured(socket);
    }),
    explicit: createServer({allowHalfOpen: true}, (socket) => relay.explicit(socket)),
  };
  for (const server of Object.values(servers))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const clients: Socket[] = [];
  const raw = (port: 'captured' | 'explicit' = 'captured'): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect(
        {port: (servers[port].address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true},
        () => resolve(socket),
      );
      socket.on('error', reject);
      clients.push(socket);
    });
  const here: World = {
    relay,
    requests,
    tunnels,
    decisions,
    flows,
    counted,
    limits,
    decide: usual,
    serve: hello,
    known: () => false,
    whenDialled: () => undefined,
    workload: POD,
    writable: true,
    ca: ca.rootPem,
    raw,
    plain: async (port) => new Client(await raw(port)),
    async tls(tlsOptions = {}, over) {
      const socket = over ?? (await raw());
      return new Promise((resolve, reject) => {
        const tls: TLSSocket = tlsConnect(
          {socket, servername: 'a.test', ca: ca.rootPem, ALPNProtocols: ['http/1.1'], ...tlsOptions},
          () => resolve(new Client(tls)),
        );
        tls.on('error', reject);
      });
    },
    async close() {
      relay.close();
      for (const socket of clients) socket.destroy();
      for (const server of Object.values(servers)) await new Promise((resolve) => server.close(resolve));
    },
  };
  return here;
}

/** Two ends of a byte stream. */
export function pair(): [Duplex, Duplex] {
  const there = new PassThrough();
  const back = new PassThrough();
  return [end(back, there), end(there, back)];
}

function end(reads: PassThrough, writes: PassThrough): Duplex {
  const duplex: Duplex = new Base({
    allowHalfOpen: true,
    read: () => void reads.resume(),
    write: (chunk, _encoding, done) => void (writes.write(chunk) ? done() : writes.once('drain', done)),
    final: (done) => void writes.end(done),
    destroy: (error, done) => {
      if (!reads.destroyed) reads.destroy();
      if (!writes.destroyed) writes.destroy();
      done(error);
    },
  });
  reads.on('data', (chunk) => {
    if (!duplex.push(chunk)) reads.pause();
  });
  reads.on('end', () => duplex.push(null));
  reads.on('close', () => {
    if (!reads.readableEnded) duplex.destroy();
  });
  reads.pause();
  return duplex;
}
