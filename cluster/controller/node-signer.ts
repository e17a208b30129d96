/** Answers the certificate signing requests of nodes: approved and signed, or denied with the reason. */
import {
  CertificatesV1Api,
  type KubeConfig,
  type KubernetesObject,
  type V1CertificateSigningRequest,
  type V1CertificateSigningRequestCondition,
} from '@kubernetes/client-node';
import {makeIntermediate, publicKeyOf, type Pair} from '../../pki/index.ts';
import {startReflector} from '../reflector.ts';
import {judgeNodeRequest, SIGNER_NAME, type Verdict} from './node-request.ts';
import {createWorkQueue} from './queue.ts';

export interface NodeSignerOptions {
  readonly config: KubeConfig;
  readonly agents: ReadonlySet<string>;
  readonly lifeMs: number;
  /** What signs now. Throws where nothing can. */
  readonly signing: () => Pair;
  readonly onSigned: (name: string, node: string, notAfterMs: number) => void;
  readonly onDenied: (name: string, verdict: {readonly reason: string; readonly message: string}) => void;
  readonly onFailed: (name: string, error: unknown, retryMs: number) => void;
  readonly onTrouble: (message: string, retryMs: number) => void;
  /** Unix time in ms. */
  readonly now?: () => number;
}

const NOT_FOUND = 404;
const CONFLICT = 409;

/** Runs until stopped; to be run by one leader. */
export function signNodeRequests(options: NodeSignerOptions): {stop(): void} {
  const {config, onTrouble} = options;
  const api = config.makeApiClient(CertificatesV1Api);
  const queue = createWorkQueue(async (name) => {
    try {
      await answer(api, name, options);
    } catch (error) {
      const code = (error as {code?: unknown}).code;
      if (code === NOT_FOUND) return;
      // Somebody wrote it meanwhile: it is looked at as it is now.
      if (code === CONFLICT) return queue.add(name);
      throw error;
    }
  }, options.onFailed);
  const requests = startReflector<true>({
    config,
    resource: {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'CertificateSigningRequest',
      path: '/apis/certificates.k8s.io/v1/certificatesigningrequests',
      fieldSelector: `spec.signerName=${SIGNER_NAME}`,
    },
    keep: (object: KubernetesObject) => (isOpen(object as V1CertificateSigningRequest) ? true : null),
    onChange: (name, now) => {
      if (now !== null) queue.add(name);
    },
    onSynced: () => {},
    onTrouble,
  });
  return {
    stop() {
      requests.stop();
      queue.stop();
    },
  };
}

async function answer(api: CertificatesV1Api, name: string, options: NodeSignerOptions): Promise<void> {
  // As it is now, and not as the watch last told: who asks, and what for, cannot change; whether it was answered can.
  const request = await api.readCertificateSigningRequest({name});
  // Deleted meanwhile, and made anew for another signer: not ours to answer.
  if (!isOpen(request) || request.spec.signerName !== SIGNER_NAME) return;
  const root = options.signing();
  const verdict = judge(request, options.agents, root);
  const approved = has(request, 'Approved');
  if (verdict.kind === 'deny') {
    const {reason, message} = verdict;
    // Approved by somebody else already: that makes nothing of it true.
    if (approved) await setStatus(api, request, {conditions: [condition('Failed', reason, message)]});
    else await setApproval(api, request, condition('Denied', reason, message));
    options.onDenied(name, verdict);
    return;
  }
  const {node, publicKey} = verdict;
  const current = approved
    ? request
    : await setApproval(api, request, condition('Approved', 'NodeAgent', `asked for by the agent of node ${node}`));
  const nowMs = (options.now ?? Date.now)();
  const asked = (request.spec.expirationSeconds ?? Infinity) * 1_000;
  const fields = {publicKey, purpose: node, lifeMs: Math.min(options.lifeMs, asked)};
  const chain = makeIntermediate(root, fields, nowMs, `the certificate of ${node}`);
  if (chain.some(({notAfterMs}) => notAfterMs <= nowMs)) throw new Error('the root has ended');
  const certificate = Buffer.from(chain.map(({pem}) => pem).join('')).toString('base64');
  await setStatus(api, current, {certificate});
  options.onSigned(name, node, chain[0]!.notAfterMs);
}

function judge({spec}: V1CertificateSigningRequest, agents: ReadonlySet<string>, root: Pair): Verdict {
  const own = publicKeyOf(root.key.key);
  return judgeNodeRequest(
    {
      request: Buffer.from(spec.request, 'base64').toString('utf8'),
      signerName: spec.signerName,
      usages: spec.usages ?? [],
      username: spec.username ?? '',
      extra: spec.extra ?? {},
    },
    {agents, isRootKey: (key) => key.equals(own)},
  );
}

/** Neither signed nor refused for good. */
function isOpen(request: V1CertificateSigningRequest): boolean {
  return (request.status?.certificate ?? '') === '' && !has(request, 'Denied') && !has(request, 'Failed');
}

const has = (request: V1CertificateSigningRequest, type: string): boolean =>
  request.status?.conditions?.some((one) => one.type === type) ?? false;

const condition = (type: string, reason: string, message: string): V1CertificateSigningRequestCondition => ({
  ...{type, reason, message},
  status: 'True',
});

function setApproval(
  api: CertificatesV1Api,
  request: V1CertificateSigningRequest,
  added: V1CertificateSigningRequestCondition,
): Promise<V1CertificateSigningRequest> {
  const conditions = [...(request.status?.conditions ?? []), added];
  const body = {...request, status: {...request.status, conditions}};
  return api.replaceCertificateSigningRequestApproval({name: request.metadata!.name!, body});
}

async function setStatus(
  api: CertificatesV1Api,
  request: V1CertificateSigningRequest,
  {conditions = [], certificate}: {conditions?: V1CertificateSigningRequestCondition[]; certificate?: string},
): Promise<void> {
  const status = {
    ...request.status,
    conditions: [...(request.status?.conditions ?? []), ...conditions],
    ...(certificate === undefined ? {} : {certificate}),
  };
  await api.replaceCertificateSigningRequestStatus({name: request.metadata!.name!, body: {...request, status}});
}
