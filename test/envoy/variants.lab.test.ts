/** The samples as users change them, by what samples/envoy/README.md says. */
import {once} from 'node:events';
import {connect as connectTls} from 'node:tls';
import {describe, expect} from '@jest/globals';
import {makeAuthority, makeCertificate} from '../cluster/certificates.ts';
import {connectIn} from '../lab/index.ts';
import {governed, readSample, type Bootstrap, type Governed, type GovernedOptions} from './governed.ts';
import {ENVOY_VERSIONS} from './index.ts';
import {envoyTest} from './require.ts';

const policyOf = (...rules: readonly object[]): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'default'},
  spec: {podSelector: {}, rules, deny: {status: 418, body: 'Access Denied by Administrator'}},
});
const ALLOWED = {name: 'seen', to: {hosts: ['allowed.test']}};
const GATEWAY = 'spiffe://cluster.local/ns/egress/sa/gateway';

async function withWorld(
  options: Pick<GovernedOptions, 'version'> & Partial<GovernedOptions>,
  work: (world: Governed) => Promise<void>,
): Promise<void> {
  const world = await governed({
    sample: 'transparent.yaml',
    policies: [policyOf(ALLOWED)],
    sites: ['allowed.test', 'pinned.test', 'evil.test'].map((name, i) => ({name, ip: `5.6.40.${i + 1}`})),
    redirectTo: 15001,
    ...options,
  });
  try {
    await work(world);
  } finally {
    await world.close();
  }
}

/** Our two clusters over mutual TLS on ports, as the identity of `certificate`. */
function overTls(bootstrap: Bootstrap, dir: string, certificate: string): void {
  const file = (filename: string) => ({filename: `${dir}/${filename}`});
  for (const [name, port] of [
    ['sallyport_extauthz', 9000],
    ['sallyport_sds', 9001],
  ] as const) {
    const cluster = bootstrap.static_resources.clusters.find((one) => one.name === name)!;
    const address = {socket_address: {address: '127.0.0.1', port_value: port}};
    cluster['load_assignment'] = {cluster_name: name, endpoints: [{lb_endpoints: [{endpoint: {address}}]}]};
    cluster['transport_socket'] = {
      name: 'tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        common_tls_context: {
          tls_certificates: [{certificate_chain: file(`${certificate}.crt`), private_key: file(`${certificate}.key`)}],
          validation_context: {trusted_ca: file('ca.crt')},
        },
      },
    };
  }
}

const tlsFlags = (dir: string): string[] => [
  ...['--listen', '127.0.0.1:9000', '--sds', '127.0.0.1:9001', '--sds-peer', GATEWAY],
  ...['--tls-cert', `${dir}/server.crt`, '--tls-key', `${dir}/server.key`, '--client-ca', `${dir}/ca.crt`],
];

function certificates(dir: string): void {
  makeAuthority(dir);
  makeCertificate(dir, 'server', '/CN=server', ['DNS:extauthz']);
  makeCertificate(dir, 'gateway', '/CN=gateway', [`URI:${GATEWAY}`]);
  makeCertificate(dir, 'app', '/CN=app', ['URI:spiffe://cluster.local/ns/default/sa/app']);
}

describe.each([...ENVOY_VERSIONS])('Envoy %s', (version) => {
  const it = envoyTest(version, 'curl', 'nft', 'openssl');

  it(
    'a chain for the names of tls rules carries them unread, beside inspection',
    () =>
      withWorld(
        {
          version,
          policies: [policyOf(ALLOWED, {name: 'unread', to: {hosts: ['pinned.test'], schemes: ['tls']}})],
          change(bootstrap, dir) {
            const [chain] = readSample('sni-passthrough.yaml', dir).static_resources.listeners[0]!.filter_chains;
            bootstrap.static_resources.listeners[0]!.filter_chains.push({
              ...chain!,
              name: 'unread',
              filter_chain_match: {transport_protocol: 'tls', server_names: ['pinned.test', 'evil.test']},
            });
          },
        },
        async (world) => {
          // Only the public roots are trusted: the certificate is the server's own.
          const own = ['--cacert', world.ca.bundle];
          expect(await world.tried(...own, 'https://pinned.test/')).toMatchObject({answer: [200, 'pinned.test GET /']});
          expect(await world.tried('https://allowed.test/')).toMatchObject({answer: [200, 'allowed.test GET /']});
          expect((await world.tried('-k', 'https://evil.test/')).connected).toEqual([]);
        },
      ),
    60_000,
  );

  it(
    'Check and certificates over mutual TLS, to a listed identity',
    () =>
      withWorld(
        {
          version,
          flags: tlsFlags,
          prepare: (_lab, dir) => certificates(dir),
          change: (bootstrap, dir) => overTls(bootstrap, dir, 'gateway'),
        },
        async (world) => {
          expect(await world.tried('https://allowed.test/')).toMatchObject({answer: [200, 'allowed.test GET /']});
          expect(await world.tried('https://evil.test/')).toMatchObject({
            answer: [418, 'Access Denied by Administrator'],
            connected: [],
          });
        },
      ),
    60_000,
  );

  it(
    'another identity of the same CA is given no certificate, and that is told',
    () =>
      withWorld(
        {
          version,
          flags: tlsFlags,
          prepare: (_lab, dir) => certificates(dir),
          change: (bootstrap, dir) => overTls(bootstrap, dir, 'app'),
        },
        async (world) => {
          expect(await world.tried('--max-time', '3', 'https://allowed.test/')).toMatchObject({
            reached: [],
            connected: [],
          });
          expect(world.journal.find(({event}) => event === 'sds.peer-refused')).toMatchObject({
            identities: ['spiffe://cluster.local/ns/default/sa/app'],
          });
        },
      ),
    60_000,
  );
});

// One version: it takes as long as all the others together.
describe('the circuit breaker of the sample', () => {
  const version = ENVOY_VERSIONS[0]!;
  const it = envoyTest(version, 'nft');

  it(
    'lets more names be than Envoy’s default has streams',
    () =>
      withWorld({version, policies: [policyOf({name: 'many', to: {hosts: ['*.many.test']}})]}, async (world) => {
        const NAMES = 1100;
        let next = 0;
        const refused: string[] = [];
        const shake = async (): Promise<void> => {
          while (next < NAMES) {
            const servername = `n${next++}.many.test`;
            const socket = connectIn(world.lab.pod('app').path, {ip: '5.6.40.1', port: 443});
            const tls = connectTls({socket, servername, rejectUnauthorized: false});
            const done = await Promise.race([
              once(tls, 'secureConnect').then(() => true),
              once(tls, 'close').then(() => false),
            ]).catch(() => false);
            if (!done || tls.getPeerCertificate().subjectaltname !== `DNS:${servername}`) refused.push(servername);
            tls.destroy();
          }
        };
        await Promise.all(Array.from({length: 8}, shake));
        expect(refused).toEqual([]);
        const active = [...(await world.envoy.stats('cert_active')).values()].reduce((sum, n) => sum + n, 0);
        expect(active).toBe(NAMES);
      }),
    120_000,
  );
});
