/**
 * One stream of delta xDS, without I/O: requests in, responses out. What is handed out for a name is asked of `answer`.
 * The protocol is Envoy's "xDS REST and gRPC protocol", section "Incremental xDS".
 */

/** The only type that is served. */
export const SECRET_TYPE_URL = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';

/** A request as far as it concerns us. */
export interface DeltaRequest {
  /** May be empty: the method says it too. */
  readonly typeUrl: string;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  /** On the first request of a new stream: what the client kept from the last one, version by name. */
  readonly initialVersions: ReadonlyMap<string, string>;
  /** '' unless this acknowledges a response. */
  readonly nonce: string;
  /** Why that response was refused; null: it was taken. */
  readonly error: string | null;
}

/** A certificate with its key as it is handed out. */
export interface Secret {
  /** Changes exactly when the certificate does. */
  readonly version: string;
  readonly chainPem: string;
  readonly keyPem: string;
  /** Envoy drops it after this long, and asks again when the name is next wanted. */
  readonly ttlMs: number;
}

export interface Resource {
  readonly name: string;
  readonly version: string;
  readonly ttlMs: number;
  /** null: a heartbeat; the client has this version, and its time begins anew. */
  readonly secret: Secret | null;
}

export interface DeltaResponse {
  readonly nonce: string;
  readonly resources: readonly Resource[];
  readonly removed: readonly string[];
}

export type Output =
  | {readonly kind: 'respond'; readonly response: DeltaResponse}
  /** The client could not use what it was sent (NACK); it is not sent again before it changes. */
  | {readonly kind: 'rejected'; readonly names: readonly string[]; readonly error: string}
  | {readonly kind: 'end'; readonly message: string};

/** What a name gets; null: nothing, and the client is told so. */
export type Answer = (name: string) => Secret | null;

/** Keeps a response under the 4 MB that gRPC clients take by default: a secret is about 3 kB. */
const MAX_NAMES_PER_RESPONSE = 512;
/** Responses whose names are remembered until they are acknowledged, for the message of a NACK. */
const MAX_UNACKNOWLEDGED = 16;
/** RFC 1035 §2.3.4 has 253; what is longer is no name and is not kept. */
const MAX_NAME_CHARACTERS = 255;

const NOTHING: readonly Output[] = [];

export class SecretStream {
  readonly #answer: Answer;
  /** What the client has of each name that it is subscribed to: a version, or null for nothing. */
  readonly #sent = new Map<string, string | null>();
  readonly #unacknowledged = new Map<string, readonly string[]>();
  #nonce = 0;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  /** Names that the client is subscribed to. */
  get names(): Iterable<string> {
    return this.#sent.keys();
  }

  get size(): number {
    return this.#sent.size;
  }

  /** A request came. Acknowledgement, unsubscription and subscription may be in one, and are taken in this order. */
  receive(request: DeltaRequest): readonly Output[] {
    if (request.typeUrl !== '' && request.typeUrl !== SECRET_TYPE_URL)
      return [{kind: 'end', message: `only ${SECRET_TYPE_URL} is served here`}];
    const rejected = this.#acknowledge(request);
    for (const name of request.unsubscribe) this.#sent.delete(name);
    if (request.subscribe.length === 0) return rejected;

    // Each is answered, whatever the client may have: it may have dropped it meanwhile (delta xDS, "subscribing").
    const resources: Resource[] = [];
    const removed: string[] = [];
    for (const name of new Set(request.subscribe)) {
      // A name that can be none is refused without being remembered.
      const secret = name.length > MAX_NAME_CHARACTERS ? null : this.#answer(name);
      if (name.length <= MAX_NAME_CHARACTERS) this.#sent.set(name, secret?.version ?? null);
      if (secret === null) removed.push(name);
      else resources.push(resource(name, secret, request.initialVersions.get(name) === secret.version));
    }
    return [...rejected, ...this.#respond(resources, removed)];
  }

  /** What is handed out may have changed: every name is asked for again, and the client is told what differs. */
  rejudge(): readonly Output[] {
    const resources: Resource[] = [];
    const removed: string[] = [];
    for (const [name, version] of this.#sent) {
      const secret = this.#answer(name);
      if ((secret?.version ?? null) === version) continue;
      this.#sent.set(name, secret?.version ?? null);
      if (secret === null) removed.push(name);
      else resources.push(resource(name, secret, false));
    }
    return this.#respond(resources, removed);
  }

  /** The name has to make room: the client is told that it is gone, and asks again when it needs it. */
  evict(name: string): readonly Output[] {
    const version = this.#sent.get(name);
    if (version === undefined) return NOTHING;
    this.#sent.delete(name);
    return version === null ? NOTHING : this.#respond([], [name]);
  }

  #acknowledge({nonce, error}: DeltaRequest): readonly Output[] {
    const names = this.#unacknowledged.get(nonce);
    // A nonce that we do not know is stale; it acknowledges nothing.
    if (names === undefined) return NOTHING;
    this.#unacknowledged.delete(nonce);
    return error === null ? NOTHING : [{kind: 'rejected', names, error}];
  }

  #respond(resources: readonly Resource[], removed: readonly string[]): Output[] {
    const outputs: Output[] = [];
    let at = 0;
    while (at < resources.length || at === 0) {
      const part = resources.slice(at, at + MAX_NAMES_PER_RESPONSE);
      const gone = at === 0 ? removed : [];
      at += MAX_NAMES_PER_RESPONSE;
      if (part.length === 0 && gone.length === 0) break;
      const nonce = String(++this.#nonce);
      this.#remember(
        nonce,
        part.map(({name}) => name),
      );
      outputs.push({kind: 'respond', response: {nonce, resources: part, removed: gone}});
    }
    return outputs;
  }

  #remember(nonce: string, names: readonly string[]): void {
    this.#unacknowledged.set(nonce, names);
    for (const oldest of this.#unacknowledged.keys()) {
      if (this.#unacknowledged.size <= MAX_UNACKNOWLEDGED) break;
      this.#unacknowledged.delete(oldest);
    }
  }
}

const resource = (name: string, secret: Secret, known: boolean): Resource => ({
  name,
  version: secret.version,
  ttlMs: secret.ttlMs,
  secret: known ? null : secret,
});
