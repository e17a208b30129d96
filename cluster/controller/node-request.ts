/** Who gets an intermediate for which node: judged by what the API server says of the requester, not by what he says. */
import {readCertificateRequest} from '../../pki/index.ts';

export const SIGNER_NAME = 'sallyport.dev/node-ca';
/** The one usage that is asked for: what else the certificate may do is ours to say. */
export const USAGE = 'cert sign';

/** Of whom the request came, as the API server wrote it (certificates.k8s.io/v1, spec.extra); Kubernetes 1.30 and later. */
const NODE_NAME = 'authentication.kubernetes.io/node-name';

export interface NodeRequestSpec {
  /** PEM. */
  readonly request: string;
  readonly signerName: string;
  readonly usages: readonly string[];
  readonly username: string;
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export type Verdict =
  | {readonly kind: 'sign'; readonly node: string; readonly publicKey: Buffer}
  /** `reason` as Kubernetes writes them, `message` for who asked. */
  | {readonly kind: 'deny'; readonly reason: string; readonly message: string};

export interface Judges {
  /** `system:serviceaccount:NAMESPACE:NAME` of the agents. */
  readonly agents: ReadonlySet<string>;
  /** Whether this key (SubjectPublicKeyInfo) is a root's own. */
  readonly isRootKey: (publicKey: Buffer) => boolean;
}

/** Everything that does not hold denies, the first in this order: who, where from, for what, how. */
export function judgeNodeRequest(spec: NodeRequestSpec, {agents, isRootKey}: Judges): Verdict {
  const deny = (reason: string, message: string): Verdict => ({kind: 'deny', reason, message});
  // 1. Only agents.
  if (!agents.has(spec.username))
    return deny(
      'NotAnAgent',
      `${spec.username} is no agent. The controller's --node-agent names their service accounts: ${[...agents].join(', ')}.`,
    );
  // 2. Only with a token of a pod that runs on one node.
  const nodes = spec.extra[NODE_NAME] ?? [];
  const [node] = nodes;
  if (node === undefined || node === '' || nodes.length > 1)
    return deny(
      'TokenNotBound',
      `the requester's token is bound to no node (${NODE_NAME}). Ask with the token that is mounted into the agent's pod; Kubernetes 1.30 or later says its node.`,
    );
  // 3. Only this.
  if (spec.usages.length !== 1 || spec.usages[0] !== USAGE)
    return deny('BadUsages', `usages are ${spec.usages.join(', ')}, and must be "${USAGE}" alone.`);
  const read = readCertificateRequest(spec.request);
  if (read.kind === 'bad') return deny('BadRequest', `the request is refused: ${read.why}.`);
  // 4. Only for that node.
  if (read.commonName !== node)
    return deny(
      'WrongNode',
      `the requester's token is of node ${node}, and the request is for another: CN must be it.`,
    );
  if (isRootKey(read.publicKey)) return deny('BadRequest', 'the key is a root of ours.');
  return {kind: 'sign', node, publicKey: read.publicKey};
}
