/** Asks the cluster for this node's intermediate: a key that never leaves this process, a request, and its answer. */
import {CertificatesV1Api, type KubeConfig, type V1CertificateSigningRequest} from '@kubernetes/client-node';
import {
  certificateRequest,
  checkCaChain,
  checkKeyFits,
  newKey,
  parseCaCertificates,
  type SigningKey,
} from '../../pki/index.ts';
import {SallyportError} from '../../runtime/errors.ts';
import {SIGNER_NAME, USAGE} from '../controller/node-request.ts';
import {pause} from '../../runtime/pause.ts';

export interface AskOptions {
  readonly config: KubeConfig;
  readonly node: string;
  readonly signal: AbortSignal;
  /** The request is there and not answered; told again now and then. */
  readonly onWaiting: (name: string) => void;
}

const FIRST_POLL_MS = 250;
const MAX_POLL_MS = 10_000;
/** A controller answers within a second; one that is just being elected within twenty. */
const SAY_WAITING_MS = 30_000;
const NOT_FOUND = 404;
/** Kubernetes appends five characters, and a name has 253 at most. */
const MAX_PREFIX_CHARACTERS = 240;

/**
 * Key and chain up to the root, PEM, as openNodeCa reads them. Waits as long as nobody answers. Rejects with SallyportError
 * `NodeCaRefused` (denied, failed, or gone), `NodeCaUnusable`, or with the API's error where it cannot be asked.
 */
export async function askForNodeCa({config, node, signal, onWaiting}: AskOptions): Promise<string> {
  const api = config.makeApiClient(CertificatesV1Api);
  const key = newKey();
  const made = await api.createCertificateSigningRequest({
    body: {
      metadata: {generateName: `sallyport-node-ca-${node}-`.slice(0, MAX_PREFIX_CHARACTERS)},
      spec: {
        request: Buffer.from(certificateRequest(node, key)).toString('base64'),
        signerName: SIGNER_NAME,
        usages: [USAGE],
      },
    },
  });
  const name = made.metadata!.name!;
  let saidAtMs = performance.now();
  for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(pollMs * 2, MAX_POLL_MS)) {
    await pause(pollMs, signal);
    signal.throwIfAborted();
    const answer = await read(api, name);
    if (answer !== null) return usable(answer, key, name);
    if (performance.now() - saidAtMs < SAY_WAITING_MS) continue;
    saidAtMs = performance.now();
    onWaiting(name);
  }
}

/** The chain, PEM; null: nobody has answered yet, or the API server is away. */
async function read(api: CertificatesV1Api, name: string): Promise<string | null> {
  let request: V1CertificateSigningRequest;
  try {
    request = await api.readCertificateSigningRequest({name});
  } catch (error) {
    if ((error as {code?: unknown}).code !== NOT_FOUND) return null;
    throw refused(name, 'it is gone: Kubernetes removes what nobody answers within a day');
  }
  const {certificate = '', conditions = []} = request.status ?? {};
  const no = conditions.find(({type}) => type === 'Denied' || type === 'Failed');
  if (no !== undefined) throw refused(name, `${no.type}: ${no.reason ?? ''}: ${no.message ?? ''}`);
  return certificate === '' ? null : Buffer.from(certificate, 'base64').toString('utf8');
}

function usable(chainPem: string, key: SigningKey, name: string): string {
  const from = `the answer to CertificateSigningRequest ${name}`;
  try {
    const chain = parseCaCertificates(chainPem, from);
    checkKeyFits(chain[0]!, key, from);
    checkCaChain(chain, 0, Date.now());
  } catch (cause) {
    throw new SallyportError('NodeCaUnusable', (cause as Error).message, "Look at the controller's log.", {cause});
  }
  return `${key.key.export({type: 'pkcs8', format: 'pem'}) as string}${chainPem}`;
}

function refused(name: string, why: string): SallyportError {
  return new SallyportError(
    'NodeCaRefused',
    `CertificateSigningRequest ${name}: ${why}`,
    "Its message says what is to be changed; the controller's --node-agent names who may ask.",
  );
}
