/** The certificate that the webhook serves: believed by caBundle, for the right name, in date. */
import type {X509Certificate} from 'node:crypto';
import {connect} from 'node:tls';
import {parseCaCertificates, type CaCertificate} from '../../pki/ca-certificate.ts';
import type {Check} from '../check.ts';
import {fail, grave, minor, oncePerCause, verdictOf, type Problem} from '../outcome.ts';
import type {Api, Thing} from '../cluster/api.ts';
import type {ClusterWorld} from '../cluster/world.ts';
import {INSTALL, ourWebhooks} from './cluster-webhooks.ts';

const DAY_MS = 86_400_000;
/** A root that has less than this left should have been followed by another one. */
const ROOT_SOON_MS = 60 * DAY_MS;
/** Serving certificates are renewed at two thirds of their life: with less than a sixth left, nobody did. */
const LEAF_SOON = 1 / 6;
const TLS_TIMEOUT_MS = 10_000;

export const clusterCertificates: Check<ClusterWorld> = {
  name: 'cluster.certificates',
  looks: "the webhook's certificate against its caBundle, and the dates",
  run: async ({api, namespace, now}) => {
    const found = await ourWebhooks(api);
    if (found.length === 0) return fail('there is no webhook of ours', INSTALL);
    const problems: Problem[] = [];
    const ends: End[] = [];
    for (const {configuration, webhook} of found) {
      const where = `${configuration}/${webhook.name}`;
      const {caBundle = '', url, service} = webhook.clientConfig;
      if (caBundle === '') {
        problems.push(
          grave(
            `${where} has no caBundle: the API server believes nobody there`,
            'See whether the controller (or cert-manager) runs: it writes it.',
          ),
        );
        continue;
      }
      const roots = parseCaCertificates(Buffer.from(caBundle, 'base64').toString(), `the caBundle of ${where}`);
      for (const root of roots) ends.push({what: 'the root in caBundle', atMs: root.notAfterMs, soonMs: ROOT_SOON_MS});
      const chain =
        url === undefined
          ? await servedBySecret(api, service!.namespace, namespace, service!.name)
          : await servedAt(url);
      if (chain === null) {
        problems.push(
          grave(
            `${where}: no Secret of ${service!.namespace} holds a certificate for ${service!.name}.${service!.namespace}.svc`,
            'See whether the controller runs: it makes the serving certificate.',
          ),
        );
        continue;
      }
      const leaf = chain[0]!;
      ends.push(endOf(leaf));
      if (!chainsTo(chain, roots))
        problems.push(
          grave(
            `${where}: its caBundle does not hold the issuer of the certificate that is served (${oneLine(leaf.issuer)})`,
            'See whether the controller runs: it patches caBundle. With certificates of your own, write their root there.',
          ),
        );
      const name = service === undefined ? new URL(url!).hostname : `${service.name}.${service.namespace}.svc`;
      if (!namesHost(leaf, name))
        problems.push(grave(`${where}: the certificate is not for ${name}`, 'Have it issued for that name.'));
    }
    for (const {what, atMs, soonMs} of ends) {
      const until = new Date(atMs).toISOString();
      if (atMs <= now()) problems.push(grave(`${what} has ended at ${until}`, RENEW));
      else if (atMs - now() < soonMs) problems.push(minor(`${what} ends at ${until}`, RENEW));
    }
    const first = new Date(Math.min(...ends.map(({atMs}) => atMs)));
    return verdictOf(
      oncePerCause(problems),
      `it is believed; the first end is ${ends.length > 0 ? first.toISOString() : ''}`,
    );
  },
};

interface End {
  readonly what: string;
  readonly atMs: number;
  /** Less than this before it somebody should look. */
  readonly soonMs: number;
}

function endOf({validFrom, validTo}: X509Certificate): End {
  const atMs = Date.parse(validTo);
  return {what: "the webhook's certificate", atMs, soonMs: (atMs - Date.parse(validFrom)) * LEAF_SOON};
}

const RENEW = 'The controller renews it at two thirds of its life: see its log.';
const oneLine = (name: string): string => name.replaceAll('\n', ', ');
const namesHost = (leaf: X509Certificate, name: string): boolean =>
  leaf.checkHost(name) !== undefined || leaf.checkIP(name) !== undefined;

/** A serving chain leads to one of the roots. */
function chainsTo(chain: readonly X509Certificate[], roots: readonly CaCertificate[]): boolean {
  let current = chain[0]!;
  for (const next of [...chain.slice(1), null]) {
    if (roots.some(({x509}) => current.checkIssued(x509) && current.verify(x509.publicKey))) return true;
    if (next === null || !current.checkIssued(next) || !current.verify(next.publicKey)) return false;
    current = next;
  }
  return false;
}

interface TlsSecret extends Thing {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

/** By the chart's name for it. Only the certificate is looked at; the key is in the same Secret, and is not kept. */
async function servedBySecret(
  api: Api,
  where: string,
  ours: string,
  service: string,
): Promise<X509Certificate[] | null> {
  const secret = await api.get<TlsSecret>(`/api/v1/namespaces/${where || ours}/secrets/${service}-tls`);
  const pem = secret?.data?.['tls.crt'];
  if (pem === undefined || pem === '') return null;
  return parseCaCertificates(Buffer.from(pem, 'base64').toString(), `${service}-tls`).map(({x509}) => x509);
}

/** What is served at a URL, believed or not: that is what is looked at. */
function servedAt(url: string): Promise<X509Certificate[]> {
  const {hostname, port} = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...{host: hostname, port: Number(port || 443), rejectUnauthorized: false, timeout: TLS_TIMEOUT_MS},
      ...(/^[\d.]+$|:/.test(hostname) ? {} : {servername: hostname}),
    });
    socket.on('secureConnect', () => {
      const chain: X509Certificate[] = [];
      for (let peer = socket.getPeerX509Certificate(); peer !== undefined; peer = peer.issuerCertificate) {
        chain.push(peer);
        if (peer.issuerCertificate === peer || chain.length > 8) break;
      }
      socket.destroy();
      resolve(chain);
    });
    socket.on('timeout', () => socket.destroy(new Error(`${url}: no answer`)));
    socket.on('error', reject);
  });
}
