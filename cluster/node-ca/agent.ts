/** Keeps this node's intermediate in --ca-dir: asked for when there is none, renewed in time, replaced when its root is no longer believed. */
import {CoreV1Api, type KubeConfig} from '@kubernetes/client-node';
import {
  KEY_MODE,
  NODE_CA_FILE,
  openNodeCa,
  parseCaCertificates,
  prepareCaDir,
  writeCaFile,
  type Ca,
} from '../../pki/index.ts';
import {SallyportError} from '../../runtime/errors.ts';
import type {Journal} from '../../runtime/journal.ts';
import {TRUST_KEYS} from '../../runtime/names.ts';
import {pause} from '../../runtime/pause.ts';
import {askForNodeCa} from './ask.ts';
import {renewAtMs} from './due.ts';

export interface NodeCaOptions {
  readonly config: KubeConfig;
  readonly node: string;
  readonly dir: string;
  readonly journal: Journal;
  /** The ConfigMap of the bundle, in the namespace that `config` is of. */
  readonly trustConfigMap?: string;
}

export interface NodeCaAgent {
  /** For /readyz: what it waits for; null: nothing. */
  waitsFor(): string | null;
  stop(): Promise<void>;
}

/** How often the clock and the bundle are looked at: a machine may have slept. */
const LOOK_MS = 60_000;
const MIN_LOOK_MS = 50;
const FIRST_RETRY_MS = 2_000;
/** What was denied is denied again until somebody changes something. */
const MAX_RETRY_MS = 300_000;

/** Runs until stopped. The file appears whole, mode 0600; who signs with it watches it (watchCa). */
export function keepNodeCa(options: NodeCaOptions): NodeCaAgent {
  const agent = new Agent(options);
  const running = agent.run();
  return {
    waitsFor: () => agent.waitsFor,
    async stop() {
      agent.stop();
      await running;
    },
  };
}

class Agent {
  waitsFor: string | null = null;
  readonly #options: NodeCaOptions;
  readonly #stopped = new AbortController();
  readonly #jitter = Math.random();
  readonly #bundles: {readonly api: CoreV1Api; readonly namespace: string} | null;
  #lookedAtMs = -Infinity;

  constructor(options: NodeCaOptions) {
    this.#options = options;
    const namespace = options.config.getContextObject(options.config.getCurrentContext())?.namespace;
    this.#bundles = namespace === undefined ? null : {api: options.config.makeApiClient(CoreV1Api), namespace};
  }

  stop(): void {
    this.#stopped.abort();
  }

  async run(): Promise<void> {
    const {signal} = this.#stopped;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      const dueInMs = (await this.#dueMs()) - Date.now();
      if (dueInMs > 0) {
        await pause(Math.min(Math.max(dueInMs, MIN_LOOK_MS), LOOK_MS), signal);
        continue;
      }
      try {
        await this.#renew();
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(error, retryMs);
        await pause(retryMs * (0.5 + Math.random()), signal);
        retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
      }
    }
  }

  /** When what is there has to be replaced; 0: at once. */
  async #dueMs(): Promise<number> {
    let ca: Ca;
    try {
      ca = openNodeCa({dir: this.#options.dir});
    } catch {
      // None, ended, or not to be used.
      return 0;
    }
    if (!(await this.#isBelieved(ca.rootPem))) return 0;
    return renewAtMs(ca.issuer().certificate, this.#jitter);
  }

  /** The controller began anew (its Secret was deleted): pods do not believe what this root signs any more. */
  async #isBelieved(rootPem: string): Promise<boolean> {
    if (this.#bundles === null || performance.now() - this.#lookedAtMs < LOOK_MS) return true;
    this.#lookedAtMs = performance.now();
    const {api, namespace} = this.#bundles;
    try {
      const name = this.#options.trustConfigMap ?? 'sallyport-trust';
      const {data} = await api.readNamespacedConfigMap({namespace, name});
      const roots = parseCaCertificates(data?.[TRUST_KEYS.ca] ?? '', name);
      const [own] = parseCaCertificates(rootPem, 'the root');
      const believed = roots.some(({x509}) => x509.fingerprint256 === own!.x509.fingerprint256);
      if (!believed)
        this.#options.journal.notice(
          'warn',
          'node-ca.root-gone',
          `the root of this node's intermediate is in the bundle no more`,
        );
      return believed;
    } catch {
      // Not there, or not to be read now: no reason to doubt.
      return true;
    }
  }

  async #renew(): Promise<void> {
    const {config, node, dir, journal} = this.#options;
    this.waitsFor ??= `the controller's answer to the request for node ${node}`;
    prepareCaDir(dir);
    const pem = await askForNodeCa({
      ...{config, node, signal: this.#stopped.signal},
      onWaiting: (name) => {
        this.waitsFor = `an answer to CertificateSigningRequest ${name}`;
        journal.notice(
          'warn',
          'node-ca.waiting',
          `nobody has answered CertificateSigningRequest ${name} yet; is the controller running? ${this.#meanwhile()}`,
        );
      },
    });
    writeCaFile(dir, NODE_CA_FILE, pem, KEY_MODE, 'replace');
    this.waitsFor = null;
    const until = new Date(openNodeCa({dir}).issuer().notAfterMs).toISOString();
    journal.notice('info', 'node-ca.issued', `this node signs with an intermediate of its own until ${until}`);
  }

  #failed(error: unknown, retryMs: number): void {
    const why = error instanceof SallyportError ? error.describe() : String((error as Error).message).split('\n')[0]!;
    this.waitsFor = why.slice(0, 300);
    const again = `again in about ${Math.round(retryMs / 1_000)} s`;
    this.#options.journal.notice('error', 'node-ca.failed', `${this.waitsFor}; ${again}; ${this.#meanwhile()}`);
  }

  #meanwhile(): string {
    try {
      const {notAfterMs} = openNodeCa({dir: this.#options.dir}).issuer();
      return `the one that is there signs until ${new Date(notAfterMs).toISOString()}`;
    } catch {
      return 'without an intermediate no certificate is made, and what would have to be inspected is refused';
    }
  }
}
