/** The mesh's mutual TLS: who everybody is, and the certificates that say so. */
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {meshCa} from '../../../../extauthz/sds/testing/mesh-ca.ts';
import {serveCertificates} from '../../../mesh/certificates.ts';
import {EXTAUTHZ, GATEWAY, SDS_PORT} from './mesh.ts';

const spiffe = (namespace: string, account: string): string => `spiffe://cluster.local/ns/${namespace}/sa/${account}`;
export const EXTAUTHZ_ID = spiffe(EXTAUTHZ.namespace, EXTAUTHZ.name);
const GATEWAY_ID = spiffe(GATEWAY.namespace, GATEWAY.serviceAccount);

export interface Identities {
  /** Flags of `sallyport extauthz`: its own certificate, whom it answers, and who may have certificates for inspection. */
  readonly extauthz: readonly string[];
  /** The socket at which a workload's agent serves its certificate. */
  of(workload: {readonly namespace: string; readonly serviceAccount: string}): Promise<string>;
  close(): Promise<void>;
}

/** @param at the address of extauthz. */
export function identities(directory: string, at: string): Identities {
  const ca = meshCa();
  const ends: (() => void)[] = [];
  const path = (name: string): string => join(directory, name);
  const {cert_chain: chain, private_key: key} = ca.pair(EXTAUTHZ_ID);
  writeFileSync(path('mesh.crt'), chain);
  writeFileSync(path('mesh.key'), key, {mode: 0o600});
  writeFileSync(path('mesh-root.crt'), ca.root);
  return {
    extauthz: [
      ...['--listen', `${at}:${EXTAUTHZ.port}`, '--tls-cert', path('mesh.crt'), '--tls-key', path('mesh.key')],
      ...['--client-ca', path('mesh-root.crt'), '--hop', GATEWAY_ID],
      ...['--sds', `${at}:${SDS_PORT}`, '--sds-peer', GATEWAY_ID],
    ],
    async of({namespace, serviceAccount}) {
      const socket = path(`agent-${ends.length}.sock`);
      ends.push(await serveCertificates(ca, spiffe(namespace, serviceAccount), socket));
      return socket;
    },
    close() {
      for (const end of ends) end();
      return Promise.resolve();
    },
  };
}
