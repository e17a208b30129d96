/** The API server, asked once and read-only: plain requests with the kubeconfig's credentials, each bounded. */
import {request as httpsRequest, type RequestOptions} from 'node:https';
import type {KubeConfig} from '@kubernetes/client-node';
import {SallyportError} from '../../runtime/errors.ts';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** The Date header, in ms; null where it has none. */
  readonly dateMs: number | null;
}

/** Any object of the API, as far as everybody has it. */
export interface Thing {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
  };
}

export interface Api {
  /** GET; null where there is no such object. Throws SallyportError `ApiRefused` for any other status. */
  readonly get: <T>(path: string) => Promise<T | null>;
  /** All objects of a collection, in pages; asked for once. Empty where the API has no such kind. Throws as get(). */
  readonly list: <T extends Thing>(path: string) => Promise<readonly T[]>;
  /** Creates nothing: `dryRun=All`. */
  readonly dryCreate: (path: string, object: object) => Promise<Answer>;
  /** The answer as it is. Rejects where nobody answers. */
  readonly ask: (method: 'GET' | 'POST', path: string, body?: object) => Promise<Answer>;
}

/** A list of 500 pods may take seconds of a busy API server. */
const TIMEOUT_MS = 20_000;
const PAGE_OBJECTS = 500;
/** 500 pods with long environments, ten times over. */
const MAX_BYTES = 64 * 1024 * 1024;

export function apiOf(config: KubeConfig): Api {
  const server = new URL(config.getCurrentCluster()!.server);
  const lists = new Map<string, Promise<readonly Thing[]>>();
  const ask: Api['ask'] = async (method, path, body) => {
    const options: RequestOptions = {method, headers: {accept: 'application/json', 'content-type': 'application/json'}};
    await config.applyToHTTPSOptions(options);
    return send(new URL(`${server.href.replace(/\/$/, '')}${path}`), options, body);
  };
  const get = async <T>(path: string): Promise<T | null> => {
    const {status, body} = await ask('GET', path);
    if (status === 404) return null;
    if (status !== 200) throw refused(path, status, body);
    return body as T;
  };
  const pages = async (path: string): Promise<readonly Thing[]> => {
    const items: Thing[] = [];
    for (let next = ''; ;) {
      const page = await get<{items: Thing[]; metadata?: {continue?: string}}>(
        `${path}?limit=${PAGE_OBJECTS}${next === '' ? '' : `&continue=${encodeURIComponent(next)}`}`,
      );
      if (page === null) return items;
      items.push(...page.items);
      next = page.metadata?.continue ?? '';
      if (next === '') return items;
    }
  };
  return {
    ask,
    get,
    list: async <T extends Thing>(path: string) => {
      const known = lists.get(path) ?? pages(path);
      lists.set(path, known);
      return (await known) as readonly T[];
    },
    dryCreate: (path, object) => ask('POST', `${path}?dryRun=All`, object),
  };
}

function send(url: URL, options: RequestOptions, body: object | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(url, {...options, timeout: TIMEOUT_MS}, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_BYTES) request.destroy(new Error(`${url.pathname}: its answer is too long`));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const date = Date.parse(response.headers.date ?? '');
        resolve({
          status: response.statusCode ?? 0,
          body: parsed(text),
          dateMs: Number.isNaN(date) ? null : date,
        });
      });
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    request.on('error', (cause: Error) =>
      reject(
        new SallyportError(
          'ApiServerAway',
          `${url.host}: ${cause.message}`,
          'See whether kubectl get --raw /readyz works.',
          {
            cause,
          },
        ),
      ),
    );
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The message of a Status object. */
export const messageOf = (body: unknown): string =>
  typeof body === 'object' && body !== null && 'message' in body ? String(body.message) : '';

function refused(path: string, status: number, body: unknown): SallyportError {
  return new SallyportError(
    'ApiRefused',
    `GET ${path}: ${status} ${messageOf(body)}`.trim(),
    status === 403 ? 'Use a kubeconfig that may read it: a cluster administrator’s.' : '',
  );
}
