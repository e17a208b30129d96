/** The PKCS#12 store in a real Java. */
import {execFile} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createServer} from 'node:net';
import type {AddressInfo} from 'node:net';
import {TLSSocket} from 'node:tls';
import {promisify} from 'node:util';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {labTest} from '../test/lab/require.ts';
import {openCa} from './ca.ts';
import type {LeafSource} from './contract.ts';
import {createLeafSource} from './leaf.ts';
import {publishTrust} from './trust-bundle.ts';

const test = labTest('java', 'keytool');
const run = promisify(execFile);
const CLIENT = `
import javax.net.ssl.*;
class Client {
  public static void main(String[] args) throws Exception {
    SSLSocket socket = (SSLSocket) SSLSocketFactory.getDefault().createSocket("127.0.0.1", Integer.parseInt(args[0]));
    SSLParameters parameters = socket.getSSLParameters();
    parameters.setServerNames(java.util.List.of(new SNIHostName("a.test")));
    socket.setSSLParameters(parameters);
    try {
      socket.startHandshake();
      System.out.println("trusted " + socket.getSession().getProtocol());
    } catch (SSLException e) {
      System.out.println("refused");
    }
  }
}`;
let dir: string;
let leaves: LeafSource;
const server = createServer((socket) => {
  const tls = new TLSSocket(socket, {isServer: true, secureContext: leaves.context('a.test')});
  tls.on('error', () => tls.destroy());
  tls.resume();
});

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sp-java-'));
  const ca = openCa({dir});
  publishTrust({dir, ca});
  leaves = createLeafSource({ca});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  writeFileSync(join(dir, 'Client.java'), CLIENT);
});
afterAll(() => {
  server.close();
  rmSync(dir, {recursive: true});
});

describe('Java', () => {
  test('lists every root of the store as trusted, the MAC verified', async () => {
    const {stdout} = await run('keytool', ['-list', '-keystore', join(dir, 'bundle.p12'), '-storepass', 'changeit']);
    const roots = readFileSync(join(dir, 'bundle.pem'), 'utf8').match(/BEGIN/g)!.length;
    expect(stdout.match(/trustedCertEntry/g)).toHaveLength(roots);
    await expect(
      run('keytool', ['-list', '-keystore', join(dir, 'bundle.p12'), '-storepass', 'wrong-one']),
    ).rejects.toThrow();
  });

  test.each([
    ['with the password', ['-Djavax.net.ssl.trustStorePassword=changeit'], 'trusted TLSv1.3'],
    ['without a password', [], 'trusted TLSv1.3'],
    ['with TLS 1.2', ['-Djdk.tls.client.protocols=TLSv1.2'], 'trusted TLSv1.2'],
  ])(
    'trusts a leaf through it, %s',
    async (_how, options, expected) => {
      expect(await client([`-Djavax.net.ssl.trustStore=${join(dir, 'bundle.p12')}`, ...options])).toBe(expected);
    },
    60_000,
  );

  test('trusts it not without the store', async () => {
    expect(await client([])).toBe('refused');
  }, 60_000);
});

async function client(options: string[]): Promise<string> {
  const {port} = server.address() as AddressInfo;
  const {stdout} = await run('java', [...options, join(dir, 'Client.java'), String(port)], {
    env: {PATH: process.env['PATH']},
  });
  return stdout.trim();
}
