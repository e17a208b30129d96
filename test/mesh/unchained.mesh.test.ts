/** A host that leaves through a parent, and that a ServiceEntry registers: refused, not sent direct; verify says so. */
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import type {ServiceEntry} from '../../mesh-config/surroundings.ts';
import {NOTHING} from '../../mesh-config/testing/nothing.ts';
import {unchained} from '../../mesh-config/unchained.ts';
import {loadDocuments, type UpstreamProxyDocument} from '../../policy/index.ts';
import {until} from '../waiting.ts';
import {fromIntent} from './generated.ts';
import {startSquid, type Parent} from './parents.ts';
import {meshTest} from './require.ts';
import {meshWorld, RESOLVER, TIMEOUT_MS, type MeshWorld} from './world.ts';

const SQUID = '10.9.9.1';
const PORT = 3128;
const PROXY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'UpstreamProxy',
  metadata: {name: 'corp'},
  spec: {endpoints: [{url: `http://${SQUID}:${PORT}`}], hosts: ['behind.test']},
};
const TEXT = [
  {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'MeshEgress',
    metadata: {name: 'default'},
    spec: {
      outboundTrafficPolicy: 'AllowAny',
      extauthz: {timeoutMs: TIMEOUT_MS},
      enforcement: [{at: 'Sidecar', namespace: 'app'}],
      chain: [{name: 'corp'}],
    },
  },
  PROXY,
]
  .map((one) => stringify(one))
  .join('---\n');
const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'app'},
  spec: {podSelector: {}, rules: [{name: 'behind', to: {hosts: ['behind.test'], schemes: ['tls', 'http']}}]},
};
const entry = (...ports: readonly object[]): ServiceEntry =>
  ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: {name: 'behind', namespace: 'app'},
    spec: {hosts: ['behind.test'], location: 'MESH_EXTERNAL', resolution: 'DNS', ports},
  }) as ServiceEntry;
const HTTP = {number: 80, name: 'http', protocol: 'HTTP'};
const TLS = {number: 443, name: 'tls', protocol: 'TLS'};

describe('a host that leaves through a parent', () => {
  const it = meshTest('squid');
  const generated = fromIntent(TEXT);
  const proxies = loadDocuments([{file: 'intent.yaml', text: TEXT}]).documents as readonly UpstreamProxyDocument[];
  let squid: Parent;
  let world: MeshWorld;
  beforeAll(async () => {
    world = await meshWorld({
      policies: [POLICY, PROXY],
      sites: [{name: 'behind.test', ip: '5.6.40.1'}],
      prepare: async (lab, dir) => void (squid = await startSquid(lab, dir, RESOLVER, {ips: [SQUID], port: PORT})),
    });
  }, 120_000);
  afterAll(async () => {
    await squid.stop();
    await world.close();
  }, 60_000);

  it.each<[string, readonly ServiceEntry[], readonly string[], readonly string[], readonly string[]]>([
    [
      'not known to the mesh, is sent there by TLS and by HTTP',
      [],
      ['behind.test/s', 'behind.test/p'],
      ['CONNECT behind.test:443', 'GET http://behind.test/p'],
      [],
    ],
    [
      'known for HTTP, is sent there all the same',
      [entry(HTTP)],
      ['behind.test/s', 'behind.test/p'],
      ['CONNECT behind.test:443', 'GET http://behind.test/p'],
      [],
    ],
    [
      'known for TLS, is refused by TLS, and verify says so',
      [entry(HTTP, TLS)],
      ['behind.test/p'],
      ['GET http://behind.test/p'],
      ['NotChained'],
    ],
  ])(
    '%s',
    async (_what, entries, reached, heard, codes) => {
      const mesh = await world.mesh([...entries.map((one) => stringify(one)), generated.yaml], generated.settings);
      const [before, start] = [squid.asked().length, world.arrived.length];
      const decided = world.journal.length;
      await world.tried('https://behind.test/s');
      await world.tried('http://behind.test/p');
      expect(world.arrived.slice(start).map(({site, path}) => `${site}${path}`)).toEqual(reached);
      expect(squid.asked().slice(before)).toEqual(heard);
      // What is logged comes in its own time.
      const said = await until(
        () => world.journal.slice(decided).map(({scheme, reason}) => `${String(scheme)} ${String(reason)}`),
        (lines) => lines.length === 2,
      );
      expect(said).toEqual([codes.length > 0 ? 'tls UpstreamUnreachable' : 'tls RuleAllowed', 'http RuleAllowed']);
      await mesh.stop();
      const around = {...NOTHING, serviceEntries: entries};
      expect(unchained(generated.mesh, proxies, around).map(({code}) => code)).toEqual(codes);
    },
    60_000,
  );
});
