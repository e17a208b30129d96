/** The company's CA: istiod signs the mesh's certificates with it (Istio's "plug in CA certificates"), and whatever else is to belong to it. */
import {mkdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {makeAuthority, makeCertificate} from '../../cluster/certificates.ts';
import type {Cluster} from '../cluster/cluster.ts';
import {NAMESPACE} from '../installation.ts';
import {ISTIO_NAMESPACE} from './installation.ts';

/** How extauthz is called. */
export const EXTAUTHZ_NAME = `sallyport-extauthz.${NAMESPACE}.svc.cluster.local`;
/** Who it is there. */
export const EXTAUTHZ_IDENTITY = `spiffe://cluster.local/ns/${NAMESPACE}/sa/sallyport-extauthz`;

const folder = (cluster: Cluster): string => join(cluster.machine.dir, 'company-ca');

/** A certificate of the mesh's CA with its key, PEM. */
export const meshCertificate = (cluster: Cluster): string =>
  ['client.crt', 'client.key'].map((file) => readFileSync(join(folder(cluster), file), 'utf8')).join('');

/** Makes it, and the Secret that istiod has of it. */
export async function companyCa(cluster: Cluster): Promise<void> {
  const dir = folder(cluster);
  mkdirSync(dir, {recursive: true, mode: 0o700});
  makeAuthority(dir);
  makeCertificate(dir, 'client', '/CN=client');
  const read = (file: string): string => readFileSync(join(dir, file), 'utf8');
  const root = read('ca.crt');
  const secret = {
    ...{apiVersion: 'v1', kind: 'Secret', metadata: {name: 'cacerts', namespace: ISTIO_NAMESPACE}, type: 'Opaque'},
    stringData: {'ca-cert.pem': root, 'ca-key.pem': read('ca.key'), 'root-cert.pem': root, 'cert-chain.pem': root},
  };
  await cluster.must(['apply', '-f', '-'], JSON.stringify(secret));
}

/** The chart's values for it: Istio's agent gives it a certificate of the mesh, and who asks has to show one too. */
export const EXTAUTHZ_VALUES = {extauthz: {enabled: true, replicas: 1, tls: {mesh: true}}};
