/** A CA directory that is replaced while `sallyport extauthz` serves secrets from it. */
import {X509Certificate} from 'node:crypto';
import {cpSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {create, fromBinary} from '@bufbuild/protobuf';
import {ChannelCredentials, makeGenericClientConstructor, type ClientDuplexStream} from '@grpc/grpc-js';
import {afterEach, beforeEach, expect, test} from '@jest/globals';
import {openCa} from '../pki/index.ts';
import {freePorts} from '../test/cluster/ports.ts';
import {startRole, type Role} from '../test/cluster/role.ts';
import {SecretSchema} from './gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
} from './gen/envoy/service/discovery/v3/discovery_pb.js';
import {SECRETS} from './sds/index.ts';

let dir: string;
let role: Role | null = null;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-ca-reload-'));
});
afterEach(async () => {
  await role?.stop();
  role = null;
  rmSync(dir, {recursive: true});
});

type Stream = ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

const POLICY = `apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: default}
spec: {podSelector: {}, rules: [{name: seen, to: {hosts: [a.test]}}]}
`;

test('Envoy is sent certificates of the new CA at once, on the stream that it has', async () => {
  const caDir = join(dir, 'ca');
  const socket = join(dir, 'sds.sock');
  writeFileSync(join(dir, 'p.yaml'), POLICY);
  writeFileSync(join(dir, 'w.yaml'), '- {ips: [10.244.0.7], namespace: default, name: app, trustsCa: true}\n');
  const [port] = (await freePorts(1)) as [number];
  role = startRole([
    ...['extauthz', '--policy', join(dir, 'p.yaml'), '--workloads', join(dir, 'w.yaml')],
    ...['--listen', `127.0.0.1:${port}`, '--admin', '127.0.0.1:0', '--sds', `unix:${socket}`, '--ca-dir', caDir],
  ]);
  await role.logged(({event}) => event === 'extauthz.listening');
  const client = new (makeGenericClientConstructor(SECRETS, 'sds'))(
    `unix:${socket}`,
    ChannelCredentials.createInsecure(),
  );
  const stream = (client['DeltaSecrets'] as () => Stream)();
  try {
    const received: DeltaDiscoveryResponse[] = [];
    let wake: () => void = () => undefined;
    stream.on('error', () => undefined);
    stream.on('data', (response: DeltaDiscoveryResponse) => {
      received.push(response);
      wake();
    });
    const leafOf = async (count: number): Promise<X509Certificate[]> => {
      while (received.length < count) await new Promise<void>((resolve) => (wake = resolve));
      const {type} = fromBinary(SecretSchema, received[count - 1]!.resources[0]!.resource!.value);
      const chain = type.case === 'tlsCertificate' ? type.value.certificateChain?.specifier : undefined;
      const pem = chain?.case === 'inlineBytes' ? Buffer.from(chain.value).toString('utf8') : '';
      return pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g)!.map((block) => new X509Certificate(block));
    };
    stream.write(create(DeltaDiscoveryRequestSchema, {resourceNamesSubscribe: ['a.test']}));
    const before = openCa({dir: caDir});
    const [, first] = await leafOf(1);
    expect(first!.verify(new X509Certificate(before.rootPem).publicKey)).toBe(true);

    const other = join(dir, 'other');
    const {rootPem} = openCa({dir: other});
    cpSync(other, caDir, {recursive: true});
    const [leaf, second] = await leafOf(2);
    expect(second!.verify(new X509Certificate(rootPem).publicKey)).toBe(true);
    expect([leaf!.subjectAltName, leaf!.verify(second!.publicKey)]).toEqual(['DNS:a.test', true]);
    await role.logged(({event}) => event === 'ca.replaced');
  } finally {
    stream.cancel();
    client.close();
  }
}, 60_000);
