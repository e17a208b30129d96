/** The company's CA: istiod signs the mesh's certificates with it (Istio's "plug in CA certificates"), and it signed extauthz' too. */
import {mkdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {makeAuthority, makeCertificate} from '../../cluster/certificates.ts';
import type {Cluster} from '../cluster/cluster.ts';
import {NAMESPACE} from '../installation.ts';
import {ISTIO_NAMESPACE} from './installation.ts';

/** How the mesh knows extauthz. */
export const EXTAUTHZ_NAME = `sallyport-extauthz.${NAMESPACE}.svc.cluster.local`;
const SECRET = 'extauthz-mesh-tls';

const folder = (cluster: Cluster): string => join(cluster.machine.dir, 'company-ca');

/** A certificate of the mesh's CA with its key, PEM. */
export const meshCertificate = (cluster: Cluster): string =>
  ['extauthz.crt', 'extauthz.key'].map((file) => readFileSync(join(folder(cluster), file), 'utf8')).join('');

/** Makes it, and the Secrets that istiod and extauthz have of it. */
export async function companyCa(cluster: Cluster): Promise<void> {
  const dir = folder(cluster);
  mkdirSync(dir, {recursive: true, mode: 0o700});
  makeAuthority(dir);
  makeCertificate(dir, 'extauthz', '/CN=extauthz', [`DNS:${EXTAUTHZ_NAME}`]);
  const read = (file: string): string => readFileSync(join(dir, file), 'utf8');
  const root = read('ca.crt');
  const secrets = [
    {
      ...{metadata: {name: 'cacerts', namespace: ISTIO_NAMESPACE}, type: 'Opaque'},
      stringData: {'ca-cert.pem': root, 'ca-key.pem': read('ca.key'), 'root-cert.pem': root, 'cert-chain.pem': root},
    },
    {
      ...{metadata: {name: SECRET, namespace: NAMESPACE}, type: 'kubernetes.io/tls'},
      stringData: {'tls.crt': read('extauthz.crt') + root, 'tls.key': read('extauthz.key')},
    },
  ];
  for (const secret of secrets)
    await cluster.must(['apply', '-f', '-'], JSON.stringify({apiVersion: 'v1', kind: 'Secret', ...secret}));
}

/**
 * The chart's values for it: who asks has a certificate of the mesh. Certificates are "provided" then, so the webhook keeps the
 * one that it has.
 */
export async function extauthzValues(cluster: Cluster): Promise<object> {
  const caBundle = await cluster.must([
    ...['get', 'mutatingwebhookconfiguration', 'sallyport', '-o', 'jsonpath={.webhooks[0].clientConfig.caBundle}'],
  ]);
  return {
    controller: {certificates: 'provided'},
    injector: {webhook: {caBundle}},
    extauthz: {
      enabled: true,
      replicas: 1,
      tls: {secretName: SECRET, clientCa: {configMap: 'istio-ca-root-cert', key: 'root-cert.pem'}},
    },
  };
}
