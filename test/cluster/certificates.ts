/** The certificates of a control plane, made by openssl: throw-away, in the cluster's own folder. */
import {execFileSync} from 'node:child_process';
import {rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';

const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** A CA in `dir`: ca.crt, ca.key. */
export function makeAuthority(dir: string): void {
  const extensions = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'];
  openssl(dir, [
    ...['req', '-x509', ...P256, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=cluster-ca'],
    ...extensions.flatMap((extension) => ['-addext', extension]),
  ]);
}

/** NAME.crt and NAME.key, signed by the CA in `dir`, for both ends of a connection. `sans` as openssl writes them. */
export function makeCertificate(dir: string, name: string, subject: string, sans: readonly string[] = []): void {
  openssl(dir, ['req', '-new', ...P256, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject]);
  const alternative = sans.length > 0 ? `subjectAltName=${sans.join(',')}\n` : '';
  writeFileSync(
    join(dir, `${name}.ext`),
    `extendedKeyUsage=clientAuth,serverAuth\nkeyUsage=digitalSignature\n${alternative}`,
  );
  openssl(dir, [
    ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'],
    ...['-extfile', `${name}.ext`, '-out', `${name}.crt`],
  ]);
  for (const ending of ['csr', 'ext']) rmSync(join(dir, `${name}.${ending}`));
}

/** NAME.key alone, RSA: what service account tokens are signed with. */
export function makeSigningKey(dir: string, name: string): void {
  openssl(dir, ['genrsa', '-out', `${name}.key`, '2048']);
}

function openssl(dir: string, argv: readonly string[]): void {
  execFileSync('openssl', argv, {cwd: dir, stdio: ['ignore', 'ignore', 'pipe']});
}
