import {mkdtempSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {connect as connectHttp2, type ClientHttp2Session} from 'node:http2';
import {connect as connectTls} from 'node:tls';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeAll, describe, expect, test} from '@jest/globals';
import {credentials, status} from '@grpc/grpc-js';
import {APP} from '../../policy/testing/asking.ts';
import {meshCa, type MeshCa} from '../sds/testing/mesh-ca.ts';
import {POD_IP, question, SITE} from '../testing/asking.ts';
import {CHECK_PATH, grpcClient, rawCheck, serve, type Serving} from '../testing/serving.ts';
import type {TlsFiles} from '../../runtime/tls-files.ts';
import {Listener} from './listener.ts';

const POLICY = `\n  - {name: web, to: {hosts: [${SITE}], schemes: [http]}}\n`;
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});
const standing = async (...arguments_: Parameters<typeof serve>): Promise<Serving> => {
  const serving = await serve(...arguments_);
  closing.push(() => serving.listener.close());
  return serving;
};
const client = (...arguments_: Parameters<typeof grpcClient>): ReturnType<typeof grpcClient> => {
  const made = grpcClient(...arguments_);
  closing.push(() => made.close());
  return made;
};
const temporary = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-listener-'));
  closing.push(() => rmSync(dir, {recursive: true}));
  return dir;
};

describe('TLS', () => {
  let ca: MeshCa;
  let other: MeshCa;
  beforeAll(() => {
    ca = meshCa();
    other = meshCa();
  });
  const files = (from: MeshCa, clients: MeshCa | null): TlsFiles => {
    const {cert_chain, private_key} = from.pair('localhost');
    return {
      cert: String(cert_chain),
      key: String(private_key),
      clientCa: clients === null ? null : String(clients.root),
    };
  };
  const channel = (roots: MeshCa, pair: ReturnType<MeshCa['pair']> | null) =>
    pair === null
      ? credentials.createSsl(roots.root)
      : credentials.createSsl(roots.root, pair.private_key, pair.cert_chain);
  const setting = {policy: POLICY, workloads: [{workload: {...APP, name: 'claimed'}, ips: ['10.1.1.1']}]};
  const claiming = question({
    source: POD_IP,
    extensions: {'sallyport-namespace': 'default', 'sallyport-pod': 'claimed'},
  });

  test('without a client CA serves whoever trusts us, and nobody is anybody', async () => {
    const {listener} = await standing(setting, {tls: files(ca, null)});
    const pair = ca.pair('spiffe://cluster.local/ns/default/sa/envoy');
    const asked = client(`localhost:${listener.port}`, channel(ca, pair));
    expect((await asked.check(claiming)).dynamicMetadata).toMatchObject({reason: 'UnknownWorkload'});
  });

  test('with a client CA asks for certificates, and knows who asks by them', async () => {
    const {listener} = await standing(setting, {tls: files(ca, ca)});
    const as = (id: string) => client(`localhost:${listener.port}`, channel(ca, ca.pair(id)));
    expect((await as('spiffe://cluster.local/ns/default/sa/envoy').check(claiming)).status?.code).toBe(0);
    expect((await as('spiffe://cluster.local/ns/other/sa/envoy').check(claiming)).dynamicMetadata).toMatchObject({
      reason: 'UnknownWorkload',
    });
    expect((await as('envoy.test').check(claiming)).dynamicMetadata).toMatchObject({reason: 'UnknownWorkload'});
  });

  test('takes nobody for who comes from the same address and port to another address of ours', async () => {
    const {listener} = await standing(setting, {tls: files(ca, ca), place: {kind: 'tcp', ip: '0.0.0.0', port: 0}});
    const connected = async (host: string, as: string, localPort: number) => {
      const {cert_chain: cert, private_key: key} = ca.pair(`spiffe://cluster.local/ns/${as}/sa/envoy`);
      const from = {host, port: listener.port, localAddress: '127.0.0.1', localPort};
      const socket = connectTls({...from, ca: ca.root, cert, key, ALPNProtocols: ['h2'], servername: 'localhost'});
      await once(socket, 'secureConnect');
      const session = connectHttp2('https://localhost', {createConnection: () => socket});
      closing.push(() => session.destroy());
      return {session, port: socket.localPort!};
    };
    const {session, port} = await connected('127.0.0.1', 'other', 0);
    const ours = await connected('127.0.0.2', 'default', port);
    expect(ours.port).toBe(port);
    const reasonOf = async (asking: ClientHttp2Session): Promise<unknown> =>
      (await rawCheck(asking, claiming)).dynamicMetadata?.['reason'];
    expect(await reasonOf(ours.session)).toBe('RuleAllowed');
    expect(await reasonOf(session)).toBe('UnknownWorkload');
  });

  test.each([
    ['without a certificate', () => null],
    ['with one of another CA', () => other.pair('spiffe://cluster.local/ns/default/sa/envoy')],
  ])('with a client CA refuses a client %s', async (_, pair) => {
    const {listener} = await standing(setting, {tls: files(ca, ca)});
    const refused = client(`localhost:${listener.port}`, channel(ca, pair()));
    expect((await refused.failure(CHECK_PATH, claiming)).code).toBe(status.UNAVAILABLE);
  });

  test('is replaced for new connections, and the old ones stay', async () => {
    const {listener} = await standing(setting, {tls: files(ca, null)});
    const before = client(`localhost:${listener.port}`, channel(ca, null));
    await before.check(question({}));
    listener.replaceCertificates(files(other, null));
    await before.check(question({}));
    await client(`localhost:${listener.port}`, channel(other, null)).check(question({}));
    const stale = client(`localhost:${listener.port}`, channel(ca, null));
    expect((await stale.failure(CHECK_PATH, question({}))).code).toBe(status.UNAVAILABLE);
  });

  test('is never spoken in the clear', async () => {
    const {listener} = await standing(setting, {tls: files(ca, null)});
    expect((await client(`localhost:${listener.port}`).failure(CHECK_PATH, question({}))).code).toBe(
      status.UNAVAILABLE,
    );
  });
});

describe('a unix socket', () => {
  test('is for our user and group, and is gone afterwards', async () => {
    const path = join(temporary(), 'x.sock');
    const {listener} = await standing({policy: POLICY}, {place: {kind: 'unix', path}});
    expect(statSync(path).mode & 0o777).toBe(0o660);
    expect((await client(`unix:${path}`).check(question({}))).dynamicMetadata).toMatchObject({reason: 'RuleAllowed'});
    await listener.drain(0);
    expect(() => statSync(path)).toThrow('ENOENT');
  });

  test('that a killed process left behind is taken over', async () => {
    const path = join(temporary(), 'x.sock');
    const program = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', program]);
    expect(statSync(path).isSocket()).toBe(true);
    await standing({policy: POLICY}, {place: {kind: 'unix', path}});
    expect((await client(`unix:${path}`).check(question({}))).status?.code).toBe(0);
  });

  test.each([
    ['that is served', 'PortInUse'],
    ['path of a file', 'CannotListen'],
    ['in no folder', 'CannotListen'],
  ])('%s is left alone: %s', async (where, code) => {
    const dir = temporary();
    const path = where === 'in no folder' ? join(dir, 'none', 'x.sock') : join(dir, 'x.sock');
    if (where === 'path of a file') writeFileSync(path, 'precious');
    if (where === 'that is served') await standing({policy: POLICY}, {place: {kind: 'unix', path}});
    const second = new Listener({flag: '--listen', place: {kind: 'unix', path}, tls: null, shared: false});
    await expect(second.listen()).rejects.toMatchObject({code});
  });
});

test('a port in use is said with its flag', async () => {
  const {listener} = await standing({policy: POLICY});
  const place = {kind: 'tcp', ip: '127.0.0.1', port: listener.port} as const;
  const second = new Listener({flag: '--listen', place, tls: null, shared: false});
  await expect(second.listen()).rejects.toMatchObject({
    code: 'PortInUse',
    message: expect.stringContaining('--listen'),
  });
});

describe('a drain', () => {
  test('lets a Check that is under way be answered, and accepts no more', async () => {
    let answer = (): void => undefined;
    const {listener, envoy} = await standing({
      policy: POLICY,
      filters: {
        hasRequest: true,
        hasResponse: false,
        request: (request, done) => void (answer = () => done({kind: 'continue', headers: request.headers})),
        response: () => undefined,
      },
    });
    const {port} = listener;
    const asked = client(`127.0.0.1:${port}`);
    const answered = asked.check(question({}));
    while (envoy.looked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const drained = listener.drain(60_000);
    const late = client(`127.0.0.1:${port}`);
    expect((await late.failure(CHECK_PATH, question({}))).code).toBe(status.UNAVAILABLE);
    answer();
    expect((await answered).dynamicMetadata).toMatchObject({reason: 'RuleAllowed'});
    await drained;
  });

  test('cuts what does not end in time', async () => {
    const {listener} = await standing({
      policy: POLICY,
      filters: {hasRequest: true, hasResponse: false, request: () => undefined, response: () => undefined},
    });
    const asked = client(`127.0.0.1:${listener.port}`);
    const failed = asked.failure(CHECK_PATH, question({}));
    while (listener.connections === 0) await new Promise((resolve) => setImmediate(resolve));
    await listener.drain(1);
    expect([status.UNAVAILABLE, status.CANCELLED]).toContain((await failed).code);
  });
});
