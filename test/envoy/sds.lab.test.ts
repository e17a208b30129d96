/** The secret service and a real Envoy: what becomes of certificates over time, which no sample can show in a minute. */
import {once} from 'node:events';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {connect as connectTls} from 'node:tls';
import {Server, ServerCredentials} from '@grpc/grpc-js';
import {afterEach, describe, expect} from '@jest/globals';
import {createSecretService, type SecretEvent, type SecretService} from '../../extauthz/sds/index.ts';
import {createLeafMint, ephemeralCa, type Leaf} from '../../pki/index.ts';
import {APP, policies} from '../../policy/testing/asking.ts';
import {connectIn, createLab, type Lab} from '../lab/index.ts';
import {readSample} from './governed.ts';
import {ENVOY_VERSIONS, startEnvoy, type Envoy} from './index.ts';
import {envoyTest} from './require.ts';
import {found as until} from '../waiting.ts';

const SEEN = policies('  - {name: seen, to: {hosts: ["*.example"]}}');
const ca = ephemeralCa();
const mint = createLeafMint({ca});

interface World {
  readonly events: SecretEvent[];
  service: SecretService;
  /** The names that were minted, in order. */
  readonly minted: string[];
  /** Serial number of the certificate that a client sees; null: no handshake. */
  serial(name: string): Promise<string | null>;
  stat(name: string): Promise<number>;
  /** Ends the service with all its streams. */
  stop(): void;
  start(): Promise<void>;
}

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** `change`: what is minted instead of a leaf. */
async function world(version: string, change: (leaf: Leaf) => Leaf = (leaf) => leaf): Promise<World> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-sds-'));
  ends.push(() => rmSync(dir, {recursive: true, force: true}));
  const events: SecretEvent[] = [];
  const minted: string[] = [];
  let server: Server | null = null;
  const leaves = {
    mint: (name: string): Leaf => {
      minted.push(name);
      return change(mint.mint(name));
    },
  };
  const start = async (): Promise<void> => {
    here.service = createSecretService({
      policies: () => SEEN,
      workloads: () => [APP],
      leaves,
      peers: 'unix-socket',
      notify: (event) => events.push(event),
    });
    server = new Server();
    server.addService(here.service.definition, here.service.implementation);
    await new Promise<void>((resolve, reject) =>
      server!.bindAsync(`unix:${dir}/sds.sock`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      ),
    );
  };
  const stop = (): void => {
    server?.forceShutdown();
    server = null;
  };
  const lab: Lab = await createLab({name: 'sds', pods: []});
  ends.push(() => lab.close(), stop);
  let envoy: Envoy | null = null;
  const here: World = {
    events,
    minted,
    service: null as unknown as SecretService,
    start,
    stop,
    async serial(servername) {
      const socket = connectIn(lab.node.path, {ip: '127.0.0.1', port: 15001});
      const tls = connectTls({socket, servername, rejectUnauthorized: false});
      try {
        await once(tls, 'secureConnect');
        return tls.getPeerCertificate().serialNumber;
      } catch {
        return null;
      } finally {
        tls.destroy();
      }
    },
    stat: async (name) => [...(await envoy!.stats(name)).values()].reduce((sum, value) => sum + value, 0),
  };
  await start();
  envoy = await startEnvoy(lab, 'node', readSample('transparent.yaml', dir), {version});
  ends.push(() => envoy.stop());
  return here;
}

describe.each([...ENVOY_VERSIONS])('certificates in Envoy %s', (version) => {
  const it = envoyTest(version);

  it('are dropped when their time is over, and asked for again when the name is wanted', async () => {
    const here = await world(version, (leaf) => ({...leaf, notAfterMs: Date.now() + 1500, renewAtMs: 0}));
    const first = await here.serial('a.example');
    expect(first).not.toBeNull();
    await until(async () => (await here.stat('cert_active')) === 0);
    await until(() => here.service.stats().streams === 0);
    const second = await here.serial('a.example');
    expect([second === null, second === first]).toEqual([false, false]);
    expect(here.minted).toEqual(['a.example', 'a.example']);
  }, 30_000);

  it('outlive the service, and are what they were for one that comes back', async () => {
    const here = await world(version);
    const first = await here.serial('a.example');
    here.stop();
    expect(await here.serial('a.example')).toBe(first);
    await here.start();
    // Envoy comes back by itself, with the version that it has; this service has another leaf for the name.
    await until(() => here.service.stats().inspected === 1);
    await until(async () => (await here.serial('a.example')) !== first);
    expect(await here.stat('update_rejected')).toBe(0);
  }, 60_000);

  it('that are still right after a reconnect are confirmed without being sent', async () => {
    const one = mint.mint('a.example');
    const here = await world(version, () => one);
    const first = await here.serial('a.example');
    const updated = await here.stat('cert_updated');
    here.stop();
    await here.start();
    await until(() => here.service.stats().inspected === 1);
    expect(await here.serial('a.example')).toBe(first);
    expect([await here.stat('cert_updated'), await here.stat('update_rejected')]).toEqual([updated, 0]);
    expect(here.events).toEqual([]);
  }, 60_000);

  it('that Envoy cannot use fail the handshake, and that is told', async () => {
    const here = await world(version, (leaf) => ({...leaf, keyPem: createLeafMint({ca}).mint('b.example').keyPem}));
    const handshake = here.serial('a.example');
    await until(() => here.events.length > 0);
    expect(here.events[0]).toMatchObject({kind: 'rejected', names: ['a.example']});
    expect(await handshake).toBeNull();
  }, 30_000);

  it('are renewed in place when the CA changes', async () => {
    const here = await world(version);
    const first = await here.serial('a.example');
    await here.service.changed('ca');
    await until(async () => (await here.serial('a.example')) !== first);
    expect(here.service.stats()).toMatchObject({streams: 1, inspected: 1});
  }, 30_000);
});
