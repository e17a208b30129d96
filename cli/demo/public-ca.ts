/** The demo's stand-in for the public CAs: what the stand-in sites' certificates are signed by. */
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {createLeafSource, openCa, type LeafSource} from '../../pki/index.ts';

export interface PublicCa {
  /** A PEM file with its root. */
  readonly bundle: string;
  readonly leaves: LeafSource;
}

export function publicCa(dir: string): PublicCa {
  const ca = openCa({dir});
  const bundle = join(dir, 'public-roots.pem');
  writeFileSync(bundle, ca.rootPem);
  return {bundle, leaves: createLeafSource({ca})};
}
