/** The webhook's HTTPS server: /mutate and /validate for the API server, nothing else. */
import type {Server} from 'node:https';
import type {AddressInfo} from 'node:net';
import {fastify, type FastifyInstance} from 'fastify';
import {mutate, readReview, validate, type AdmissionRequest, type AdmissionResponse} from './admission.ts';
import type {Namespace} from './pod.ts';
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
  /** Told of every answer, for metrics. */
  readonly onAnswer?: (webhook: Webhook, outcome: Outcome) => void;
  /** Told of what went wrong in us. */
  readonly onError?: (error: unknown) => void;
}

export type Webhook = 'mutate' | 'validate';
export type Outcome = 'injected' | 'skipped' | 'refused' | 'failed';

export interface InjectorServer {
  /** Listens; the port, which is new where 0 was asked for. */
  listen(host: string, port: number): Promise<number>;
  /** New connections get this certificate; those that are open keep theirs. */
  useCertificate(certificate: Certificate): void;
  /** Lets what runs finish. */
  close(): Promise<void>;
}

/** A review holds the object twice at most, and the API server stores none over 1.5 MB (etcd's limit). */
const MAX_REVIEW_BYTES = 4 * 1024 * 1024;
/** The API server itself waits 30 s at most. */
const REQUEST_TIMEOUT_MS = 30_000;
/** The API server keeps its connections for 90 s; closing earlier would race with its next request. */
const KEEP_ALIVE_MS = 120_000;

type Decide = (request: AdmissionRequest, namespace: Namespace, installation: Installation) => AdmissionResponse;
const WEBHOOKS: Readonly<Record<Webhook, Decide>> = {mutate, validate};

/** Makes the server; it does not listen yet. */
export function createInjectorServer(options: InjectorServerOptions): InjectorServer {
  const app = fastify({
    https: {...options.certificate, minVersion: 'TLSv1.2'},
    bodyLimit: MAX_REVIEW_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // The API server is the only client; what it asks is told by onAnswer.
    logger: false,
  }) as unknown as FastifyInstance<Server>;
  for (const webhook of Object.keys(WEBHOOKS) as Webhook[])
    app.post(`/${webhook}`, async (request, reply) => {
      const review = readReview(request.body);
      if ('bad' in review) {
        options.onAnswer?.(webhook, 'failed');
        return reply.code(400).send({error: review.bad});
      }
      const response = await answer(webhook, review, options);
      return reply.send({apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response});
    });
  return {
    listen: async (host, port) => {
      await app.listen({host, port});
      return (app.server.address() as AddressInfo).port;
    },
    useCertificate: (certificate) => app.server.setSecureContext({...certificate}),
    close: () => app.close(),
  };
}

async function answer(
  webhook: Webhook,
  request: AdmissionRequest,
  {installation, namespaceOf, onAnswer, onError}: InjectorServerOptions,
): Promise<AdmissionResponse> {
  const told = (outcome: Outcome, response: AdmissionResponse): AdmissionResponse => {
    onAnswer?.(webhook, outcome);
    return response;
  };
  const failed = (message: string): AdmissionResponse =>
    told('failed', {uid: request.uid, allowed: false, status: {code: 500, message: `sallyport: ${message}`}});
  let namespace: Namespace | null;
  try {
    namespace = await namespaceOf(request.namespace);
  } catch (error) {
    onError?.(error);
    return failed(`the namespace ${request.namespace} could not be read. Try again; the injector's log says why.`);
  }
  // Its labels may ask for its pods: without them a pod that should be guarded could start free.
  if (namespace === null) return failed(`the namespace ${request.namespace} is not known yet. Try again.`);
  try {
    const response = WEBHOOKS[webhook](request, namespace, installation());
    const outcome = !response.allowed ? 'refused' : response.patch === undefined ? 'skipped' : 'injected';
    return told(outcome, response);
  } catch (error) {
    onError?.(error);
    return failed("an error of the injector's own; its log says which.");
  }
}
