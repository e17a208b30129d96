/** The issuer as each replica runs it: its CA, its own certificate, its server, what it says of what it does. */
import type {KubeConfig} from '@kubernetes/client-node';
import {validityOf} from '../../../runtime/certificate-times.ts';
import type {Journal} from '../../../runtime/journal.ts';
import {cannotListen, listenText, type Listen} from '../../../runtime/listen.ts';
import type {Metrics} from '../../../runtime/metrics.ts';
import {printable} from '../../../runtime/printable.ts';
import {TokenBucket} from '../../../runtime/token-bucket.ts';
import type {Authority} from '../authority.ts';
import {trustedRoots} from '../rotation.ts';
import {short} from '../short.ts';
import {openWorkloadAuthority} from './authority.ts';
import {createKnowAsker} from './asker.ts';
import {createIssue, type Answer} from './issue.ts';
import {identityMetrics} from './metrics.ts';
import {createPeerFeed, type PeerFeed} from './peers.ts';
import {createIssuerServer, type IssuerServer} from './server.ts';
import {watchServedSecret, type Served} from './served-secret.ts';

export interface IssuerConfig {
  readonly listen: Listen;
  readonly trustDomain: string;
  readonly caSecret: string;
  readonly servedSecret: string;
  readonly lifeMs: number;
  readonly rootLifeMs: number;
}

export interface IssuerOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  readonly issuer: IssuerConfig;
  readonly siteSecret: string;
  readonly agents: ReadonlySet<string>;
  readonly journal: Journal;
  readonly metrics: Metrics;
}

export interface Issuer {
  /** For /readyz; null: nothing, it answers. */
  waitsFor(): string | null;
  stop(): Promise<void>;
}

/** Refusals are of people we do not know: so many lines at once, then so many a second, and the rest as a number. */
const REFUSAL_LINES = {burst: 100, perSecond: 5} as const;
const RETRY_MS = 2_000;

/** Runs until stopped. Rejects where it cannot listen; for everything else it waits, and says so. */
export async function runIssuer(options: IssuerOptions): Promise<Issuer> {
  const running = new RunningIssuer(options);
  await running.start();
  return running;
}

class RunningIssuer implements Issuer {
  readonly #options: IssuerOptions;
  readonly #metrics;
  readonly #refusals = new TokenBucket(REFUSAL_LINES.burst, REFUSAL_LINES.perSecond);
  #unsaid = 0;
  #authority: Authority | null = null;
  #server: IssuerServer | null = null;
  #peers: PeerFeed | null = null;
  #served: {stop(): void} | null = null;
  #waitsFor: string | null = 'the CA of workloads';
  /** Its certificate was looked for, and is not there. */
  #unbrought = false;
  #trouble = '';
  #stopped = false;

  constructor(options: IssuerOptions) {
    this.#options = options;
    this.#metrics = identityMetrics(options.metrics.registry);
  }

  waitsFor(): string | null {
    return this.#waitsFor;
  }

  async start(): Promise<void> {
    const {config, namespace, issuer, journal} = this.#options;
    void this.#openAuthority();
    let first!: (error: Error | null) => void;
    const listening = new Promise<Error | null>((resolve) => (first = resolve));
    this.#served = watchServedSecret({
      ...{config, namespace, secret: issuer.servedSecret},
      onChanged: (served) => {
        this.#serve(served).then(
          () => first(null),
          (error: Error) => {
            // Of the first one whoever started us hears, if he still waits for it.
            if (this.#server === null && !this.#unbrought) return first(error);
            const meanwhile = this.#server === null ? 'nobody is answered' : 'the last certificate stays';
            journal.notice(
              'error',
              'issuer.failed',
              `the Secret ${issuer.servedSecret}: ${short(error)}; ${meanwhile}`,
            );
          },
        );
      },
      onTrouble: (message) => {
        journal.notice(
          'warn',
          'issuer.waiting',
          `${message}; identities are issued with the last certificate, if there is one`,
        );
        // Whoever brings it may come after us: a leader that does not know of it yet, and goes when we are ready.
        this.#unbrought = true;
        this.#look();
        first(null);
      },
    });
    const error = await listening;
    if (error === null) return;
    await this.stop();
    throw error;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#served?.stop();
    this.#authority?.stop();
    this.#peers?.stop();
    await this.#server?.close();
  }

  /** What fails at its start (the API server went away just then) is tried again. */
  async #openAuthority(): Promise<void> {
    const {config, namespace, siteSecret, issuer, journal, metrics} = this.#options;
    while (!this.#stopped)
      try {
        const authority = await openWorkloadAuthority({
          ...{config, namespace, siteSecret, secret: issuer.caSecret, trustDomain: issuer.trustDomain},
          ...{rootLifeMs: issuer.rootLifeMs, lifeMs: issuer.lifeMs},
          onChanged: ({signing}) =>
            metrics.certificates.show('workloads-root', validityOf(signing.chainPem, `the Secret ${issuer.caSecret}`)),
          onRotation: (message) => journal.notice('info', 'identity.rotation', `${issuer.caSecret}: ${message}`),
          onTrouble: (error) => this.#say(`the Secret ${issuer.caSecret}: ${short(error)}; the last state stays`),
        });
        if (this.#stopped) return authority.stop();
        this.#authority = authority;
        this.#look();
        return;
      } catch (error) {
        this.#waitsFor = short(error);
        this.#say(`no identities can be issued: ${short(error)}; tried again`);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
  }

  #say(message: string): void {
    if (this.#trouble === message) return;
    this.#trouble = message;
    this.#options.journal.notice('error', 'issuer.failed', message);
  }

  #look(): void {
    if (this.#authority === null) return;
    this.#waitsFor = this.#server === null && !this.#unbrought ? 'its certificate' : null;
  }

  async #serve({cert, key}: Served): Promise<void> {
    const {config, issuer, agents, journal} = this.#options;
    if (this.#server !== null) {
      this.#server.useCertificate({cert, key});
      journal.notice('info', 'issuer.certificate', 'new connections are answered with the new certificate');
      return;
    }
    const {trustDomain, lifeMs} = issuer;
    const know = createKnowAsker(config);
    this.#peers = createPeerFeed({
      ...{config, know},
      onTrouble: (message) => this.#say(`who the peers of pods are: ${message}; the last table is told`),
    });
    const server = createIssuerServer({
      issue: createIssue({...{config, know, trustDomain, agents, lifeMs}, signing: () => this.#signing()}),
      peers: this.#peers,
      certificate: {cert, key},
      onAnswer: (answer, address) => this.#told(answer, address),
      onError: (error) => {
        this.#metrics.answered('Failed');
        journal.notice('error', 'identity.failed', short(error));
      },
    });
    const port = await server
      .listen(issuer.listen.ip ?? '::', issuer.listen.port)
      .catch((error: Error) => Promise.reject(cannotListen('--issuer', issuer.listen, error)));
    this.#server = server;
    if (this.#stopped) return server.close();
    this.#look();
    journal.notice(
      'info',
      'issuer.listening',
      `identities of ${trustDomain} are issued at ${listenText({...issuer.listen, port})}`,
    );
  }

  #signing(): {pair: ReturnType<Authority['signing']>; rootsPem: string} {
    if (this.#authority === null) throw new Error(`there is no CA of workloads yet: ${this.#waitsFor}`);
    return {pair: this.#authority.signing(), rootsPem: trustedRoots(this.#authority.roots).join('')};
  }

  #told(answer: Answer, address: string): void {
    const {journal} = this.#options;
    switch (answer.kind) {
      case 'issued': {
        this.#metrics.answered('issued');
        const {spiffeId, pod, username, node, notAfterMs} = answer;
        const by = `${username}${node === null ? '' : ` on node ${node}`}`;
        const until = new Date(notAfterMs).toISOString();
        journal.notice('info', 'identity.issued', `${spiffeId} to pod ${pod} until ${until}, asked for by ${by}`);
        return;
      }
      case 'refused': {
        this.#metrics.answered(answer.code);
        if (!this.#refusals.take(performance.now())) {
          this.#unsaid++;
          return;
        }
        const more = this.#unsaid === 0 ? '' : ` (${this.#unsaid} more were not written)`;
        this.#unsaid = 0;
        const who = answer.username ?? 'somebody';
        journal.notice(
          'warn',
          'identity.refused',
          `${printable(who)} at ${address}: ${answer.code}: ${printable(answer.message)}${more}`,
        );
        return;
      }
    }
  }
}
