/** The webhook's HTTPS server: /mutate and /validate for the API server, nothing else. */
import type {Server} from 'node:https';
import type {AddressInfo, Socket} from 'node:net';
import {fastify, type FastifyInstance} from 'fastify';
import {mutate, validate, type AdmissionResponse, type PodRequest} from './admission.ts';
import type {Namespace} from './pod.ts';
import {readReview, type AdmissionRequest} from './review.ts';
import type {Installation} from './settings.ts';

export interface Certificate {
  /** PEM, leaf first. */
  readonly cert: string;
  readonly key: string;
}

export interface InjectorServerOptions {
  /** The configuration as it is now. */
  readonly installation: () => Installation;
  /** The namespace as the cluster knows it; null: it is not known, so nothing can be said of its pods. May reject. */
  readonly namespaceOf: (name: string) => Promise<Namespace | null>;
  readonly certificate: Certificate;
  /** Told of every answer and how long it took from the review's last byte, for metrics. */
  readonly onAnswer?: (webhook: Webhook, outcome: Outcome, ms: number) => void;
  /** Told of what went wrong in us. */
  readonly onError?: (error: unknown) => void;
  /** For tests. */
  readonly limits?: Partial<Record<keyof typeof LIMITS, number>>;
}

export type Webhook = 'mutate' | 'validate';
export type Outcome = 'injected' | 'skipped' | 'refused' | 'failed';

export interface InjectorServer {
  /** Listens; the port, which is new where 0 was asked for. */
  listen(host: string, port: number): Promise<number>;
  /** New connections get this certificate; those that are open keep theirs. */
  useCertificate(certificate: Certificate): void;
  /** Goes on answering, and asks with each answer that the next question be asked elsewhere. */
  drain(): void;
  /** Takes no new requests and lets what runs finish. */
  close(): Promise<void>;
}

const LIMITS = {
  /** A review holds the object twice at most, and the API server stores none over 1.5 MB (etcd's limit). */
  reviewBytes: 4 * 1024 * 1024,
  /** A review comes in one piece; whoever takes longer for it only holds a connection. */
  requestTimeoutMs: 10_000,
  /** How often that is looked at. */
  requestCheckMs: 1_000,
  /** The API server keeps its idle connections for 90 s; closing earlier would race with its next request. */
  keepAliveMs: 120_000,
  /** Of some API servers, each with as many connections as it has questions open; the rest is nobody we know. */
  connections: 1_024,
  /** For a namespace that is not known yet. The API server waits 10 s for us unless it is told otherwise, and says less then. */
  namespaceTimeoutMs: 3_000,
} as const;
const TLS = {minVersion: 'TLSv1.2', handshakeTimeout: 10_000} as const;

type Decide = (request: PodRequest, namespace: Namespace, installation: Installation) => AdmissionResponse;
const WEBHOOKS: Readonly<Record<Webhook, Decide>> = {mutate, validate};

/** Makes the server; it does not listen yet. */
export function createInjectorServer(options: InjectorServerOptions): InjectorServer {
  const limits = {...LIMITS, ...options.limits};
  const app = fastify({
    https: {...options.certificate, ...TLS, connectionsCheckingInterval: limits.requestCheckMs},
    bodyLimit: limits.reviewBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveMs,
    // The API server is the only client; what it asks is told by onAnswer.
    logger: false,
  }) as unknown as FastifyInstance<Server>;
  app.server.maxConnections = limits.connections;
  // Node swaps the two where this one is the longer.
  app.server.headersTimeout = limits.requestTimeoutMs;
  let draining = false;
  const sockets = new Set<Socket>();
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  // Of the requests whose answers are not sent yet.
  let open = 0;
  let ended = (): void => {};
  app.addHook('onRequest', async (_request, reply) => {
    open++;
    reply.raw.once('close', () => {
      if (--open === 0) ended();
    });
  });
  app.addHook('onSend', async (_request, reply) => {
    if (draining) reply.header('connection', 'close');
  });
  // What could not be read (no JSON, too large) has failed for the API server as much as what we answer with an error.
  app.addHook('onError', async (request, reply) => {
    const webhook = (Object.keys(WEBHOOKS) as Webhook[]).find((one) => request.routeOptions.url === `/${one}`);
    if (webhook !== undefined) options.onAnswer?.(webhook, 'failed', reply.elapsedTime);
  });
  for (const webhook of Object.keys(WEBHOOKS) as Webhook[])
    app.post(`/${webhook}`, async (request, reply) => {
      const since = performance.now();
      const told = (outcome: Outcome): void => options.onAnswer?.(webhook, outcome, performance.now() - since);
      const review = readReview(request.body);
      if ('bad' in review) {
        told('failed');
        return reply.code(400).send({error: review.bad});
      }
      const {outcome, response} = await answer(webhook, review, options, limits.namespaceTimeoutMs);
      told(outcome);
      return reply.send({apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response});
    });
  return {
    listen: async (host, port) => {
      await app.listen({host, port});
      return (app.server.address() as AddressInfo).port;
    },
    useCertificate: (certificate) => app.server.setSecureContext({...certificate, ...TLS}),
    drain: () => void (draining = true),
    close: async () => {
      const closed = app.close();
      // The API server keeps connections that it never used; to Node those are not idle, or not even there before the handshake.
      if (open > 0) await new Promise<void>((resolve) => (ended = resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

interface Answer {
  readonly outcome: Outcome;
  readonly response: AdmissionResponse;
}

async function answer(
  webhook: Webhook,
  request: AdmissionRequest,
  {installation, namespaceOf, onError}: InjectorServerOptions,
  namespaceTimeoutMs: number,
): Promise<Answer> {
  const failed = (message: string): Answer => ({
    outcome: 'failed',
    response: {uid: request.uid, allowed: false, status: {code: 500, message: `sallyport: ${message}`}},
  });
  if (request.kind === 'skip')
    return {
      outcome: 'skipped',
      response: {uid: request.uid, allowed: true, auditAnnotations: {skipped: request.reason}},
    };
  let namespace: Namespace | null;
  try {
    namespace = await within(namespaceTimeoutMs, namespaceOf(request.namespace));
  } catch (error) {
    onError?.(error);
    return failed(`the namespace ${request.namespace} could not be read. Try again; the injector's log says why.`);
  }
  // Its labels may ask for its pods: without them a pod that should be guarded could start free.
  if (namespace === null) return failed(`the namespace ${request.namespace} is not known yet. Try again.`);
  try {
    const response = WEBHOOKS[webhook](request, namespace, installation());
    return {
      response,
      outcome: !response.allowed ? 'refused' : response.patch === undefined ? 'skipped' : 'injected',
    };
  } catch (error) {
    onError?.(error);
    return failed("an error of the injector's own; its log says which.");
  }
}

/** Rejects where the promise is not settled in time. */
async function within<T>(timeoutMs: number, promise: Promise<T>): Promise<T> {
  let timer!: NodeJS.Timeout;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
