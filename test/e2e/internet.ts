/** The internet of the end-to-end tests: the names that the tutorial used, and what else pods should and should not reach. */
import {createAuthorities} from '../conformance/world/certificates.ts';
import {worldAddresses} from '../conformance/world/addresses.ts';
import {startWorld, type StandingWorld} from '../conformance/world/world.ts';
import type {Case, ServerSpec} from '../conformance/format/case.ts';
import type {Lab} from '../lab/index.ts';

export interface Internet extends StandingWorld {
  /** What its servers' certificates are signed by, PEM. */
  readonly rootPem: string;
}

const web: ServerSpec['ports'] = [
  {port: 443, kind: 'https'},
  {port: 80, kind: 'http'},
];

function server(name: string, ports: ServerSpec['ports'], addresses: ServerSpec['addresses'] = null): ServerSpec {
  return {name, ports, addresses, certificate: 'valid', auth: null};
}

const SERVERS: readonly ServerSpec[] = [
  server('storage.googleapis.com', web),
  server('www.google.com', web),
  server('api.partner.example', web),
  server('mirror.partner.example', web),
  server('metadata.google.internal', [{port: 80, kind: 'http'}], ['169.254.169.254']),
  server('database.partner.example', [{port: 5432, kind: 'echo'}]),
];

/** Starts its servers and its name server in the lab's internet. */
export async function startInternet(lab: Lab): Promise<Internet> {
  const authorities = createAuthorities();
  const world: Case = {
    ...{file: 'e2e', name: 'e2e', description: '', documents: [], workloads: [], steps: []},
    ...{namespaces: new Map(), secrets: new Map(), servers: SERVERS},
  };
  const standing = await startWorld(world, lab, authorities, worldAddresses(world), () => undefined);
  return {...standing, rootPem: authorities.trusted};
}
