/** A CA directory that is replaced while `sallyport tproxy` inspects connections with it. */
import {cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {connect as connectTcp} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {connect as connectTls, type TLSSocket} from 'node:tls';
import {X509Certificate} from 'node:crypto';
import {afterEach, beforeEach, expect, test} from '@jest/globals';
import {openCa} from '../pki/index.ts';
import {freePorts} from '../test/cluster/ports.ts';
import {startRole, type Role} from '../test/cluster/role.ts';

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

/** The policy judges requests, so connections to this name are inspected; nothing of these ever leaves. */
const POLICY = `apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: default}
spec: {podSelector: {}, rules: [{name: seen, to: {hosts: [a.test]}, http: {paths: [/never]}}]}
`;

/** A tunnel through the explicit port, and TLS within it that believes `ca`. */
function inspected(port: number, ca: string): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(port, '127.0.0.1', () =>
      socket.write('CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n'),
    );
    socket.on('error', reject);
    socket.once('data', (head) => {
      if (!String(head).startsWith('HTTP/1.1 200')) return reject(new Error(String(head)));
      const tls = connectTls({socket, servername: 'a.test', ca}, () => resolve(tls));
      tls.on('error', reject);
    });
  });
}

/** The status line of one request on a connection that stays open. */
function ask(tls: TLSSocket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const read = (chunk: Buffer): void => {
      text += String(chunk);
      const [head, body] = text.split('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(head!)?.[1] ?? NaN);
      if (body === undefined || Buffer.byteLength(body) < length) return;
      tls.off('data', read);
      resolve(head!.split('\r\n')[0]!);
    };
    tls.on('data', read);
    tls.once('close', () => reject(new Error(`closed after ${text}`)));
    tls.write('GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n');
  });
}

test('new connections get leaves of the new CA in every worker, and those that are open go on', async () => {
  const caDir = join(dir, 'ca');
  writeFileSync(join(dir, 'p.yaml'), POLICY);
  writeFileSync(join(dir, 'w.yaml'), '- {ips: [127.0.0.1], namespace: default, name: app, trustsCa: true}\n');
  const [listen, explicit] = (await freePorts(2)) as [number, number];
  role = startRole([
    ...['tproxy', '--policy', join(dir, 'p.yaml'), '--workloads', join(dir, 'w.yaml'), '--ca-dir', caDir],
    ...['--listen', `127.0.0.1:${listen}`, '--explicit', `127.0.0.1:${explicit}`, '--admin', '127.0.0.1:0'],
    ...['--workers', '2'],
  ]);
  await role.logged(({event}) => event === 'tproxy.listening');
  const before = openCa({dir: caDir}).rootPem;
  const kept = await inspected(explicit, before);
  expect(await ask(kept)).toMatch(/^HTTP\/1\.1 403 /);

  const other = join(dir, 'other');
  const {rootPem} = openCa({dir: other});
  cpSync(other, caDir, {recursive: true});
  await role.logged(({event}) => event === 'ca.replaced');
  // Each worker looks for itself, and the kernel gives connections to either.
  const believed = new Set<string>();
  for (const deadline = Date.now() + 30_000; ;) {
    const results = await Promise.allSettled(Array.from({length: 8}, () => inspected(explicit, rootPem)));
    for (const result of results) if (result.status === 'fulfilled') result.value.destroy();
    if (results.every(({status}) => status === 'fulfilled')) break;
    for (const result of results) if (result.status === 'rejected') believed.add(String(result.reason));
    if (Date.now() > deadline) throw new Error([...believed].join('\n'));
  }
  expect(await ask(kept)).toMatch(/^HTTP\/1\.1 403 /);
  kept.destroy();
  // What is written beside it for pods follows too.
  const bundle = readFileSync(join(caDir, 'ca.crt'), 'utf8');
  expect(new X509Certificate(bundle).fingerprint256).toBe(new X509Certificate(rootPem).fingerprint256);
}, 90_000);
