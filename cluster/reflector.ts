/**
 * Keeps a copy of what the API server holds: list, then watch, for ever. An API server that is away leaves the copy as it
 * was; what it missed meanwhile is made up for by the next list.
 */
import {KubernetesObjectApi, Watch, type KubeConfig, type KubernetesObject} from '@kubernetes/client-node';

export interface Resource {
  /** `v1`, `sallyport.dev/v1alpha1`. */
  readonly apiVersion: string;
  readonly kind: string;
  /** Where it is watched, over all namespaces: `/api/v1/pods`. */
  readonly path: string;
  /** Where it is watched in one namespace only; `path` says so too. */
  readonly namespace?: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  /** Objects of one answer, where they are large. Default: 500. */
  readonly pageObjects?: number;
}

export interface ReflectorOptions<T> {
  readonly config: KubeConfig;
  readonly resource: Resource;
  /** What is kept of an object (a node may hold thousands); null: nothing, as if it were not there. Must not throw. */
  readonly keep: (object: KubernetesObject) => T | null;
  /** One object is there, is another, or is gone (`now` is null). Calls come one after the other. */
  readonly onChange: (key: string, now: T | null) => void;
  /** A list has been taken over as a whole: from the first of these on the copy is complete. */
  readonly onSynced: () => void;
  /** The API server did not answer, or not well; it is asked again in `retryMs`. */
  readonly onTrouble: (message: string, retryMs: number, kind: string) => void;
  /** It watches: what was troubled is well again. Comes again and again. */
  readonly onWell?: ((kind: string) => void) | undefined;
}

export interface Reflector<T> {
  /** By `namespace/name`, or `name` for what has no namespace; in the order in which they were first seen. */
  readonly store: ReadonlyMap<string, T>;
  /** Whether a list has ever been taken over. */
  synced(): boolean;
  stop(): void;
}

/** Objects of one answer: 500 pods are about 5 MB of JSON. */
const PAGE_OBJECTS = 500;
const FIRST_RETRY_MS = 200;
/** The API server comes back within seconds after an upgrade; asking more often would hold it down. */
const MAX_RETRY_MS = 15_000;
const GONE = 410;

/** Starts at once. */
export function startReflector<T>(options: ReflectorOptions<T>): Reflector<T> {
  const reflector = new ListAndWatch(options);
  void reflector.run();
  return reflector;
}

class ListAndWatch<T> implements Reflector<T> {
  readonly store = new Map<string, T>();
  readonly #options: ReflectorOptions<T>;
  readonly #api: KubernetesObjectApi;
  readonly #watch: Watch;
  #version: string | null = null;
  #synced = false;
  #stopped = false;
  #wake: () => void = () => {};
  #watching: AbortController | null = null;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#api = KubernetesObjectApi.makeApiClient(options.config);
    this.#watch = new Watch(options.config);
  }

  synced(): boolean {
    return this.#synced;
  }

  stop(): void {
    this.#stopped = true;
    this.#watching?.abort();
    this.#wake();
  }

  async run(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (!this.#stopped) {
      try {
        if (this.#version === null) await this.#list();
        if (this.#stopped) return;
        await this.#follow();
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        if (this.#stopped) return;
        if (statusOf(error) === GONE) {
          // What we know is older than what the API server remembers.
          this.#version = null;
          continue;
        }
        this.#options.onTrouble(messageOf(error), retryMs, this.#options.resource.kind);
        await this.#pause(retryMs * (0.5 + Math.random()));
        retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
      }
    }
  }

  async #list(): Promise<void> {
    const {apiVersion, kind, namespace, ...selecting} = this.#options.resource;
    const {fieldSelector, labelSelector, pageObjects = PAGE_OBJECTS} = selecting;
    const seen = new Map<string, T>();
    let next: string | undefined;
    let version: string;
    do {
      const page = await this.#api.list(
        ...([apiVersion, kind, namespace, undefined, undefined, undefined] as const),
        ...([fieldSelector, labelSelector, pageObjects, next] as const),
      );
      for (const object of page.items) {
        const kept = this.#options.keep(object);
        if (kept !== null) seen.set(keyOf(object), kept);
      }
      next = page.metadata?._continue === '' ? undefined : page.metadata?._continue;
      version = page.metadata?.resourceVersion ?? '';
    } while (next !== undefined && !this.#stopped);
    if (this.#stopped) return;
    for (const key of [...this.store.keys()]) if (!seen.has(key)) this.#set(key, null);
    for (const [key, kept] of seen) this.#set(key, kept);
    this.#version = version;
    this.#synced = true;
    this.#options.onSynced();
  }

  /** Watches until the API server ends it, which it does every few minutes. */
  #follow(): Promise<void> {
    const {path, fieldSelector, labelSelector} = this.#options.resource;
    const query = {resourceVersion: this.#version ?? '', allowWatchBookmarks: true, fieldSelector, labelSelector};
    return new Promise((resolve, reject) => {
      let failure: unknown = null;
      this.#watch
        .watch(
          path,
          query,
          (phase, object: KubernetesObject) => {
            try {
              this.#event(phase, object);
            } catch (error) {
              failure = error;
              this.#watching?.abort();
            }
          },
          (error: unknown) => {
            // Quiet for half a minute: asked again from where we are, since a dead connection looks the same.
            if (failure === null && (error === null || nameOf(error) === 'TimeoutError')) resolve();
            else reject(asError(failure ?? error));
          },
        )
        .then((watching) => {
          this.#watching = watching;
          if (this.#stopped) watching.abort();
          // One that could not be begun is aborted already, and its error is on its way.
          else if (!watching.signal.aborted) this.#options.onWell?.(this.#options.resource.kind);
        }, reject);
    });
  }

  #event(phase: string, object: KubernetesObject): void {
    switch (phase) {
      case 'ADDED':
      case 'MODIFIED':
        this.#set(keyOf(object), this.#options.keep(object));
        break;
      case 'DELETED':
        this.#set(keyOf(object), null);
        break;
      case 'BOOKMARK':
        break;
      default:
        // ERROR carries a Status: 410 where our version is too old.
        throw Object.assign(new Error(messageOf(object)), {code: statusOf(object)});
    }
    this.#version = object.metadata?.resourceVersion ?? this.#version;
  }

  #set(key: string, now: T | null): void {
    if (now === null && !this.store.has(key)) return;
    if (now === null) this.store.delete(key);
    else this.store.set(key, now);
    this.#options.onChange(key, now);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function keyOf({metadata}: KubernetesObject): string {
  const {namespace, name = ''} = metadata ?? {};
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function statusOf(error: unknown): number | null {
  const code = fieldOf(error, 'statusCode') ?? fieldOf(error, 'code');
  return typeof code === 'number' ? code : null;
}

const nameOf = (error: unknown): unknown => fieldOf(error, 'name');

/** In one line; an answer's body may be a whole page. */
function messageOf(error: unknown): string {
  const message = saidBy(error) ?? fieldOf(fieldOf(error, 'cause'), 'message') ?? fieldOf(error, 'message');
  return typeof message === 'string' ? message.split('\n')[0]!.slice(0, 200) : String(error);
}

/** The message of the Status in a refusal's body; the library's own says no more than the number. */
function saidBy(error: unknown): unknown {
  const body = fieldOf(error, 'body');
  if (typeof body !== 'string') return fieldOf(body, 'message');
  try {
    return fieldOf(JSON.parse(body), 'message');
  } catch {
    return undefined;
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(messageOf(error));
}
