/** Inside a pod: the certificates of our CA where the other containers find them. The keys stay in --ca-dir, which only we mount. */
import {chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {SallyportError} from '../runtime/errors.ts';
import {TRUST_KEYS} from '../runtime/names.ts';

/** As publishTrust() names them in the CA's directory, and as the ConfigMap of a cluster names them. */
const FILES = [
  ['ca.crt', TRUST_KEYS.ca],
  ['ca.crt', TRUST_KEYS.added],
  ['bundle.pem', TRUST_KEYS.bundle],
  ['bundle.p12', TRUST_KEYS.pkcs12],
] as const;

/** Copies them, each whole at once. Throws SallyportError `TrustUnwritable`. */
export function shareTrust(caDir: string, trustDir: string): void {
  try {
    mkdirSync(trustDir, {recursive: true});
    for (const [from, to] of FILES) {
      const temporary = join(trustDir, `.${to}`);
      writeFileSync(temporary, readFileSync(join(caDir, from)));
      // Read by containers of any user.
      chmodSync(temporary, 0o644);
      renameSync(temporary, join(trustDir, to));
    }
  } catch (cause) {
    throw new SallyportError(
      'TrustUnwritable',
      `--trust-dir ${trustDir}: ${(cause as Error).message}`,
      'Give --trust-dir a directory that we may write to, such as an emptyDir.',
      {cause},
    );
  }
}
