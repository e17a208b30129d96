/** The issuer's HTTPS server: POST /v1/identity, GET /v1/peers, and nothing else. */
import type {ServerResponse} from 'node:http';
import type {Server} from 'node:https';
import type {AddressInfo, Socket} from 'node:net';
import {fastify, type FastifyInstance} from 'fastify';
import type {Answer, Issue, Question, RefusalCode} from './issue.ts';
import type {Heard, PeerFeed} from './peers.ts';
import type {Listener} from './pod-listeners.ts';

export interface IssuerServerOptions {
  readonly issue: Issue;
  readonly peers: PeerFeed;
  /** PEM, leaf first. */
  readonly certificate: {readonly cert: string; readonly key: string};
  /** Told of every answer. */
  readonly onAnswer: (answer: Answer, address: string) => void;
  /** What went wrong in us, or between us and the API server. */
  readonly onError: (error: unknown) => void;
  /** Default: LISTENING. */
  readonly listening?: Listening;
}

/** Bounds of those that are told of peers. */
export interface Listening {
  /** How long they are told by one token: it may have ended since. */
  readonly listensMs: number;
  /** How long one that was told its end may take to read what is left; whoever never reads would stay. */
  readonly lingersMs: number;
  /** What they have not taken, of all together; beyond it nobody else is told. */
  readonly waitingBytes: number;
}

const LISTENING: Listening = {listensMs: 600_000, lingersMs: 10_000, waitingBytes: 67_108_864};

export interface IssuerServer {
  listen(host: string, port: number): Promise<number>;
  useCertificate(certificate: {readonly cert: string; readonly key: string}): void;
  close(): Promise<void>;
}

export const IDENTITY_PATH = '/v1/identity';
/** Lines of JSON, without an end: the whole table, then what changes (peer-rows.ts). */
export const PEERS_PATH = '/v1/peers';

const LIMITS = {
  /** A request is under 600 bytes, in JSON with the pod's names beside it under 2 KB. */
  bodyBytes: 8_192,
  /** A ServiceAccount's token is 1 to 2 KB. */
  tokenCharacters: 8_192,
  requestTimeoutMs: 10_000,
  requestCheckMs: 1_000,
  /** Questions come hours apart: nobody keeps a connection for the next one. */
  keepAliveMs: 5_000,
  /** A pod that captures itself keeps one, for its peers. */
  connections: 16_384,
  /** Before anybody has said who he is. Nodes' pods may come from one address (NAT): two of each of 250, and the agent's eight. */
  connectionsPerAddress: 512,
} as const;
const TLS = {minVersion: 'TLSv1.3', handshakeTimeout: 10_000} as const;

const STATUS: Readonly<Record<RefusalCode, number>> = {
  NotAuthenticated: 401,
  WrongAudience: 401,
  NotAServiceAccount: 403,
  TokenNotBound: 403,
  NotAnAgent: 403,
  WrongNode: 403,
  NoSuchPod: 403,
  WrongName: 403,
  BadRequest: 400,
  TooMany: 429,
  Busy: 503,
};

/** Makes the server; it does not listen yet. */
export function createIssuerServer(options: IssuerServerOptions): IssuerServer {
  const {issue, peers, certificate, onAnswer, onError, listening = LISTENING} = options;
  const told = new Set<ServerResponse>();
  const app = fastify({
    https: {...certificate, ...TLS, connectionsCheckingInterval: LIMITS.requestCheckMs},
    bodyLimit: LIMITS.bodyBytes,
    requestTimeout: LIMITS.requestTimeoutMs,
    keepAliveTimeout: LIMITS.keepAliveMs,
    forceCloseConnections: true,
    logger: false,
  }) as unknown as FastifyInstance<Server>;
  app.server.maxConnections = LIMITS.connections;
  app.server.headersTimeout = LIMITS.requestTimeoutMs;
  limitAddresses(app.server);
  app.post(IDENTITY_PATH, async (request, reply) => {
    const address = request.socket.remoteAddress ?? '';
    const question = readQuestion(request.headers.authorization, request.body, address);
    let answer: Answer;
    try {
      answer = typeof question === 'string' ? badRequest(question) : await issue(question);
    } catch (error) {
      onError(error);
      return reply.code(503).send(FAILED);
    }
    onAnswer(answer, address);
    if (answer.kind === 'refused')
      return reply.code(STATUS[answer.code]).send({error: answer.code, message: answer.message});
    const {spiffeId, chainPem, rootsPem, notAfterMs} = answer;
    return reply.header('cache-control', 'no-store').send({
      ...{spiffeId, certificate: chainPem, roots: rootsPem, notAfter: new Date(notAfterMs).toISOString()},
    });
  });
  app.get(PEERS_PATH, async (request, reply) => {
    const address = request.socket.remoteAddress ?? '';
    const token = tokenOf(request.headers.authorization);
    const refuse = (code: RefusalCode, message: string): unknown => {
      onAnswer({kind: 'refused', code, message, username: null}, address);
      return reply.code(STATUS[code]).send({error: code, message});
    };
    if (token === null) return refuse('BadRequest', NO_TOKEN);
    let heard: Heard;
    try {
      heard = await peers.hear(token, address);
    } catch (error) {
      onError(error);
      return reply.code(503).send(FAILED);
    }
    switch (heard.kind) {
      case 'refused':
        return refuse(heard.code, heard.message);
      case 'not-yet':
        return reply.code(503).send({error: 'Busy', message: 'the cluster is not known yet: ask again.'});
      case 'heard':
        if (waitingBytes(told) > listening.waitingBytes)
          return refuse('Busy', 'what others were told waits to be read by them: ask again.');
        reply.hijack();
        stream(reply.raw, heard.listen, told, listening);
        return reply;
    }
  });
  return {
    listen: async (host, port) => {
      await app.listen({host, port});
      return (app.server.address() as AddressInfo).port;
    },
    useCertificate: (now) => app.server.setSecureContext({...now, ...TLS}),
    close: () => app.close(),
  };
}

/** One pod that keeps connections open, or lets handshakes hang, must leave room for the agents. */
function limitAddresses(server: Server): void {
  const open = new Map<string, number>();
  // After the TLS server's own: what it made of the socket ends with it.
  server.on('connection', (socket: Socket) => {
    const {remoteAddress} = socket;
    const others = open.get(remoteAddress ?? '') ?? 0;
    if (remoteAddress === undefined || others >= LIMITS.connectionsPerAddress) {
      socket.destroy();
      return;
    }
    open.set(remoteAddress, others + 1);
    socket.once('close', () => {
      const left = open.get(remoteAddress)! - 1;
      if (left === 0) open.delete(remoteAddress);
      else open.set(remoteAddress, left);
    });
  });
}

const FAILED = {error: 'Failed', message: "the issuer could not answer; the controller's log says why."};
const NO_TOKEN = 'no token: write "Authorization: Bearer TOKEN".';

function waitingBytes(told: ReadonlySet<ServerResponse>): number {
  let bytes = 0;
  for (const {writableLength} of told) bytes += writableLength;
  return bytes;
}

/** Until either end has enough of it; in `told` for so long. */
function stream(
  raw: ServerResponse,
  listen: (to: Listener) => () => void,
  told: Set<ServerResponse>,
  {listensMs, lingersMs}: Listening,
): void {
  raw.writeHead(200, {'content-type': 'application/x-ndjson', 'cache-control': 'no-store'});
  told.add(raw);
  const stop = listen({
    write: (line) => void raw.write(line),
    get waitingBytes() {
      return raw.writableLength;
    },
    end: () => raw.destroy(),
  });
  let late = setTimeout(() => {
    raw.end();
    late = setTimeout(() => raw.destroy(), lingersMs);
  }, listensMs);
  raw.on('error', () => undefined);
  raw.once('close', () => {
    clearTimeout(late);
    told.delete(raw);
    stop();
  });
}

const badRequest = (message: string): Answer => ({kind: 'refused', code: 'BadRequest', message, username: null});

/** What is asked; a text: what is wrong with it. */
export function readQuestion(authorization: string | undefined, body: unknown, address: string): Question | string {
  const token = tokenOf(authorization);
  if (token === null) return NO_TOKEN;
  if (typeof body !== 'object' || body === null) return 'no JSON object.';
  const {request, pod = null, ...rest} = body as Record<string, unknown>;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) return 'a field that there is not: write request and, as an agent, pod.';
  if (typeof request !== 'string') return 'request is no text: write the PEM of a certificate request.';
  if (pod === null) return {token, request, pod: null, address};
  const {namespace, name, uid} = pod as Record<string, unknown>;
  // They become part of a path at the API server.
  if (!isName(namespace) || !isName(name) || !isName(uid)) return 'pod is not {namespace, name, uid}.';
  return {token, request, pod: {namespace, name, uid}, address};
}

function tokenOf(authorization: string | undefined): string | null {
  const [, token] = /^Bearer ([A-Za-z0-9._~+/=-]+)$/i.exec(authorization ?? '') ?? [];
  return token === undefined || token.length > LIMITS.tokenCharacters ? null : token;
}

const isName = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= 253 && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(value);
