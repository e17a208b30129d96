/** tproxy's relay in process: real bytes of a client in, decisions and what would go upstream out. */
import {once} from 'node:events';
import {connect as connectTcp, createServer, type AddressInfo, type Server, type Socket} from 'node:net';
import {connect as connectTls} from 'node:tls';
import {createLeafSource, ephemeralCa} from '../../pki/index.ts';
import {
  decide,
  type Decision,
  type EgressRequest,
  type HeaderLines,
  type Names,
  type PolicySet,
} from '../../policy/index.ts';
import {createRelay} from '../../tproxy/relay/index.ts';
import type {Upstream} from '../../tproxy/upstream/contract.ts';
import type {Exchange} from '../reference/arbitraries.ts';

export interface Relayed {
  /** In the order in which they were made. */
  readonly decisions: readonly {readonly decision: Decision; readonly request: EgressRequest}[];
  /** What went to an upstream; null: nothing. */
  readonly sent: {readonly headers: HeaderLines | null} | null;
  /** Of the answer; null: none was read. */
  readonly status: number | null;
}

const ca = ephemeralCa();
const leaves = createLeafSource({ca});
/** Nobody waits for the server to speak here; a busy machine is no silent client. */
const SILENT_MS = 4000;
const ANSWER_TIMEOUT_MS = 5000;

/** One for all exchanges of a test. */
export class Relaying {
  readonly #server: Server;
  #accept: (socket: Socket) => void = () => undefined;

  private constructor() {
    this.#server = createServer({allowHalfOpen: true}, (socket) => this.#accept(socket));
  }

  static async start(): Promise<Relaying> {
    const relaying = new Relaying();
    relaying.#server.listen(0, '127.0.0.1');
    await once(relaying.#server, 'listening');
    return relaying;
  }

  async close(): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** Sends what the exchange says, from a pod that the workload table knows. */
  async run(policies: PolicySet, {base, layers}: Exchange, zone: Names): Promise<Relayed> {
    const decisions: Relayed['decisions'][number][] = [];
    let sent: Relayed['sent'] = null;
    let passed: () => void = () => undefined;
    const through = new Promise<void>((resolve) => (passed = resolve));
    const upstream: Upstream = {
      request(_route, {headers}, handlers) {
        sent = {headers};
        queueMicrotask(() => {
          handlers.head(200, ['Content-Length', '0'], 0);
          handlers.end([]);
        });
        return {write: () => true, end: () => undefined, abort: () => undefined, resume: () => undefined};
      },
      connect(_route, done) {
        sent = {headers: null};
        done({failure: {reason: 'UpstreamUnreachable', message: 'nobody is there in this test'}});
        passed();
        return {cancel: () => undefined};
      },
      closeIdle: () => undefined,
    };
    const relay = createRelay({
      policies: () => policies,
      decide,
      workloadAt: () => base.workload,
      resolve: (names, _recent, done) => done(new Map(names.map((name) => [name, zone.get(name) ?? 'failed']))),
      leaves,
      upstream,
      filters: null,
      journal: {
        decision: (decision, request) => void decisions.push({decision, request}),
        flow: () => undefined,
        notice: () => undefined,
      },
      isOwnListener: () => false,
      limits: {detectTimeoutMs: SILENT_MS, silentTimeoutMs: SILENT_MS},
    });
    this.#accept = (socket) => relay.captured(socket, {ip: base.destination.ip!, port: base.destination.port});
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error('nothing came of it')), ANSWER_TIMEOUT_MS);
    const client = connectTcp((this.#server.address() as AddressInfo).port, '127.0.0.1');
    client.on('error', () => undefined);
    try {
      const status = await Promise.race([converse(client, layers), through.then(() => null), late.promise]);
      return {decisions, sent, status};
    } finally {
      clearTimeout(timer);
      client.destroy();
      relay.close();
    }
  }
}

/** Says it all, and reads until there is an answer or the end. */
async function converse(client: Socket, layers: Exchange['layers']): Promise<number | null> {
  const last = layers.at(-1)!;
  if (last.kind !== 'https') {
    client.write(last.kind === 'http' ? requestText(last.http) : Buffer.from([1, 2, 3, 4, 5, 6]));
    return statusOf(client);
  }
  const servername = last.tls.sni;
  const tls = connectTls({
    socket: client,
    ca: ca.rootPem,
    ALPNProtocols: ['http/1.1'],
    ...(servername === null ? {} : {servername}),
    rejectUnauthorized: false,
  });
  tls.on('error', () => undefined);
  tls.once('secureConnect', () => tls.write(requestText(last.http)));
  return statusOf(tls);
}

function statusOf(stream: Socket): Promise<number | null> {
  return new Promise((resolve) => {
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const found = /^HTTP\/1\.[01] (\d{3}) /.exec(text);
      if (found !== null) resolve(Number(found[1]));
    });
    stream.on('close', () => resolve(null));
    stream.on('end', () => resolve(null));
  });
}

/** HTTP/1, as a client writes it. */
function requestText({
  method,
  path,
  query,
  host,
  headers,
  version,
}: Extract<Exchange['layers'][number], {kind: 'http'}>['http']): string {
  const lines = [`${method} ${query === null ? path : `${path}?${query}`} HTTP/${version}`, `Host: ${host}`];
  for (let i = 0; i + 1 < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}
