/** One question to the controller's issuer: over TLS, by its own CA, with the ServiceAccount's token as it is now. */
import {readFileSync} from 'node:fs';
import {request as httpsRequest} from 'node:https';
import {isIP} from 'node:net';
import {newKey, workloadRequest} from '../../../pki/index.ts';
import {SallyportError} from '../../../runtime/errors.ts';
import {printable} from '../../../runtime/printable.ts';
import type {Identity} from './identity.ts';
import {readIdentity} from './read-identity.ts';

export interface IssuerAccess {
  readonly host: string;
  readonly port: number;
  /** PEM: by what the issuer is known. Read for each question, as it rotates. */
  readonly caFile: string;
  /** A projected token of the audience IDENTITY_AUDIENCE. The kubelet replaces it, so it is read for each question too. */
  readonly tokenFile: string;
}

/** The pod that an agent asks for; null: who asks, for himself. */
export type ForPod = {readonly namespace: string; readonly name: string; readonly uid: string} | null;

/** An answer is under 10 KB: a leaf, an intermediate, two roots. */
const MAX_ANSWER_BYTES = 65_536;
/** Two questions of the issuer's to the API server, and an election in between. */
const TIMEOUT_MS = 15_000;
const OK = 200;

/**
 * A new key, which never leaves this process, and a certificate for it. Rejects with SallyportError: `IssuerRefused` (`reason` is
 * the issuer's code), `IssuerAway`, `FileUnreadable`, `IdentityUnusable`; never with any of the token.
 */
export async function askForIdentity(
  {host, port, caFile, tokenFile}: IssuerAccess,
  spiffeId: string,
  pod: ForPod,
  {signal, nowMs}: {readonly signal: AbortSignal; readonly nowMs: () => number},
): Promise<Identity> {
  const [ca, token] = [readText(caFile), readText(tokenFile).trim()];
  const key = newKey();
  const body = JSON.stringify({request: workloadRequest(spiffeId, key), ...(pod === null ? {} : {pod})});
  const from = `the answer of ${host}:${port}`;
  const {status, text} = await post({host, port, ca, token, body, signal});
  const answer = readAnswer(text);
  if (status !== OK || answer === null) {
    const {error, message} = answer ?? {};
    throw new IssuerRefused(
      typeof error === 'string' ? printable(error, 64) : `status ${status}`,
      typeof message === 'string' ? printable(message) : 'no answer that can be read',
    );
  }
  const {certificate, roots} = answer;
  if (typeof certificate !== 'string' || typeof roots !== 'string')
    throw new SallyportError(
      'IdentityUnusable',
      `${from} has no certificate and roots`,
      "Look at the controller's log.",
    );
  const keyPem = key.key.export({type: 'pkcs8', format: 'pem'}) as string;
  const identity = readIdentity({keyPem, chainPem: certificate, rootsPem: roots}, from, nowMs());
  if (identity.spiffeId !== spiffeId)
    throw new SallyportError('IdentityUnusable', `${from} is for ${identity.spiffeId}, and not ${spiffeId}`, '');
  return identity;
}

/** The issuer said no; `reason` is its code. */
export class IssuerRefused extends SallyportError {
  readonly reason: string;
  constructor(reason: string, message: string) {
    super('IssuerRefused', `the issuer of identities: ${reason}: ${message}`, '');
    this.reason = reason;
  }
}

/**
 * Of whom a ServiceAccount's token is, as it says itself: enough to know what to ask for. Who answers asks the API server. Throws
 * SallyportError `TokenUnreadable`, never with any of it.
 */
export function accountOfToken(tokenFile: string): {readonly namespace: string; readonly serviceAccount: string} {
  const [, payload = ''] = readText(tokenFile).trim().split('.');
  let subject: unknown;
  try {
    subject = (JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as {sub?: unknown}).sub;
  } catch {
    subject = null;
  }
  const [, namespace, serviceAccount] =
    /^system:serviceaccount:([^:]+):([^:]+)$/.exec(typeof subject === 'string' ? subject : '') ?? [];
  if (namespace === undefined || serviceAccount === undefined)
    throw new SallyportError(
      'TokenUnreadable',
      `${tokenFile} holds no token of a ServiceAccount`,
      'Name the file of a projected serviceAccountToken.',
    );
  return {namespace, serviceAccount};
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new SallyportError('FileUnreadable', `${file}: ${why}`, 'It is mounted beside the token (projected).', {
      cause,
    });
  }
}

interface Post {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  readonly token: string;
  readonly body: string;
  readonly signal: AbortSignal;
}

function post({host, port, ca, token, body, signal}: Post): Promise<{status: number; text: string}> {
  const away = (why: string, cause?: unknown): SallyportError =>
    new SallyportError('IssuerAway', `the issuer of identities at ${host}:${port}: ${why}`, '', {cause});
  // An empty list of CAs is the public ones to Node, and a token is worth something.
  if (!ca.includes('-----BEGIN CERTIFICATE-----')) return Promise.reject(away('its CA file holds no certificate'));
  return new Promise((resolve, reject) => {
    const asking = httpsRequest(
      {
        ...{host, port, ca, method: 'POST', path: '/v1/identity', agent: false, minVersion: 'TLSv1.3'},
        ...(isIP(host) === 0 ? {servername: host} : {}),
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          connection: 'close',
        },
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      },
      (answer) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        answer.on('data', (part: Buffer) => {
          bytes += part.length;
          if (bytes > MAX_ANSWER_BYTES) answer.destroy(new Error(`more than ${MAX_ANSWER_BYTES} bytes`));
          else parts.push(part);
        });
        answer.once('end', () =>
          resolve({status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8')}),
        );
        answer.once('error', (error) => reject(away(error.message, error)));
      },
    );
    asking.once('error', (error) => reject(away(error.message, error)));
    asking.end(body);
  });
}

function readAnswer(text: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
