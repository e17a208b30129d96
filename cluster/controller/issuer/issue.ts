/** One question to the issuer: a token and a request in, a certificate or a refusal out. */
import {CoreV1Api, type KubeConfig, type V1Pod} from '@kubernetes/client-node';
import {formatSpiffeId, makeWorkloadCertificate, readWorkloadRequest, type Pair} from '../../../pki/index.ts';
import type {KnowAsker} from './asker.ts';
import {Rates, RATES} from './limits.ts';
import {identityOfPod, mayAskForPods, ownIdentity, type AskedPod, type Granted, type Refused} from './judge.ts';

export interface IssueOptions {
  readonly config: KubeConfig;
  readonly know: KnowAsker;
  readonly trustDomain: string;
  /** `system:serviceaccount:NAMESPACE:NAME`. */
  readonly agents: ReadonlySet<string>;
  readonly lifeMs: number;
  /** What signs now, and what peers are to be verified with, PEM. Throws where nothing can sign. */
  readonly signing: () => {readonly pair: Pair; readonly rootsPem: string};
  /** Unix time in ms. */
  readonly now?: () => number;
}

export interface Question {
  readonly token: string;
  /** PEM, PKCS#10. */
  readonly request: string;
  readonly pod: AskedPod;
  /** Of the connection: for the limits and the log. */
  readonly address: string;
}

export type Answer =
  | {
      readonly kind: 'issued';
      readonly spiffeId: string;
      /** `NAMESPACE/NAME` of the pod that it is for. */
      readonly pod: string;
      /** Who asked. */
      readonly username: string;
      readonly node: string | null;
      readonly chainPem: string;
      readonly rootsPem: string;
      readonly notAfterMs: number;
    }
  | {readonly kind: 'refused'; readonly code: RefusalCode; readonly message: string; readonly username: string | null};

export type RefusalCode = Refused['code'] | 'TooMany' | 'Busy' | 'BadRequest' | 'WrongName';

const NOT_FOUND = 404;

export type Issue = (question: Question) => Promise<Answer>;

/** Rejects where the API server cannot be asked, or nothing can sign. */
export function createIssue(options: IssueOptions): Issue {
  const pods = options.config.makeApiClient(CoreV1Api);
  const rates = {pod: new Rates(RATES.pod), agent: new Rates(RATES.agent)};

  const podOf = async ({namespace, name}: NonNullable<AskedPod>): Promise<V1Pod | null> => {
    try {
      return await pods.readNamespacedPod({namespace, name});
    } catch (error) {
      if ((error as {code?: unknown}).code === NOT_FOUND) return null;
      throw error;
    }
  };

  return async ({token, request, pod: asked, address}) => {
    const refuse = (code: RefusalCode, message: string, username: string | null = null): Answer => ({
      ...{kind: 'refused', code, message, username},
    });
    const reviewed = await options.know(token, address);
    if (reviewed.kind === 'refused') return refuse(reviewed.code, reviewed.message);
    const {caller} = reviewed;
    const {username} = caller;
    const rate = asked === null ? rates.pod : rates.agent;
    if (!rate.take(`${username} ${caller.pod.uid}`, performance.now()))
      return refuse('TooMany', `too many questions of ${username}.`, username);
    let granted: Granted | Refused;
    if (asked === null) granted = ownIdentity(caller);
    else granted = mayAskForPods(caller, options.agents) ?? identityOfPod(caller, asked, await podOf(asked));
    if (granted.kind === 'refused') return refuse(granted.code, granted.message, username);
    const {namespace, serviceAccount} = granted;
    const spiffeId = formatSpiffeId({trustDomain: options.trustDomain, namespace, serviceAccount});
    const read = readWorkloadRequest(request, spiffeId);
    if (read.kind === 'bad') return refuse('BadRequest', `the request is refused: ${read.why}.`, username);
    if (read.kind === 'another')
      return refuse(
        'WrongName',
        `the request is not for ${spiffeId} alone, which is whose token it came with.`,
        username,
      );
    const nowMs = (options.now ?? Date.now)();
    const {pair, rootsPem} = options.signing();
    const made = makeWorkloadCertificate(
      pair,
      {publicKey: read.publicKey, uri: spiffeId, lifeMs: options.lifeMs},
      nowMs,
    );
    if (made.notAfterMs <= nowMs) throw new Error('the CA of workloads has ended');
    return {...{kind: 'issued', spiffeId, pod: granted.pod, username, node: caller.node, rootsPem}, ...made};
  };
}
