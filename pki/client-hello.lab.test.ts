/** The ClientHellos of real clients, as they send them. */
import {execFile} from 'node:child_process';
import type {ChildProcess} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import type {AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {connect} from 'node:tls';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {labTest} from '../test/lab/require.ts';
import {createClientHelloReader, parseClientHello} from './client-hello.ts';
import type {ClientHello} from './client-hello.ts';

const GO = `package main
import ("crypto/tls"; "os")
func main() { tls.Dial("tcp", os.Args[1], &tls.Config{ServerName: "real.test", NextProtos: []string{"h2", "http/1.1"}}) }`;
const JAVA = `import javax.net.ssl.*;
class Hello { public static void main(String[] a) throws Exception {
  SSLSocket s = (SSLSocket) SSLSocketFactory.getDefault().createSocket("127.0.0.1", Integer.parseInt(a[0]));
  SSLParameters p = s.getSSLParameters();
  p.setServerNames(java.util.List.of(new SNIHostName("real.test")));
  p.setApplicationProtocols(new String[]{"h2", "http/1.1"});
  s.setSSLParameters(p);
  try { s.startHandshake(); } catch (java.io.IOException e) { }
} }`;
const PYTHON = `import socket, ssl, sys
c = ssl.create_default_context(); c.set_alpn_protocols(["h2", "http/1.1"])
try: c.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), server_hostname="real.test")
except OSError: pass`;
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'sp-hello-'));
  writeFileSync(join(dir, 'hello.go'), GO);
  writeFileSync(join(dir, 'Hello.java'), JAVA);
});
afterAll(() => rmSync(dir, {recursive: true}));

/** Lets a client connect, and answers what it said; the connection is closed then. */
async function helloOf(start: (port: number) => ChildProcess | null): Promise<{hello: ClientHello; bytes: Buffer}> {
  const children: ChildProcess[] = [];
  const server = createServer();
  try {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return await new Promise((resolve, reject) => {
      server.once('connection', (socket) => {
        const reader = createClientHelloReader();
        const chunks: Buffer[] = [];
        socket.on('error', () => undefined);
        socket.on('data', (chunk) => {
          chunks.push(chunk);
          const result = reader.push(chunk);
          if (result.kind === 'more') return;
          socket.destroy();
          if (result.kind === 'done')
            resolve({hello: result.hello, bytes: Buffer.concat(chunks).subarray(0, result.length)});
          else reject(new Error(`${result.code}: ${result.message}`));
        });
      });
      const child = start((server.address() as AddressInfo).port);
      if (child === null) return;
      children.push(child);
      child.once('error', reject);
    });
  } finally {
    server.close();
    for (const child of children) child.kill();
  }
}

type Client = [
  name: string,
  tool: string | null,
  start: (port: number) => ChildProcess | null,
  expected: Partial<ClientHello>,
];
const BOTH = ['h2', 'http/1.1'];
const run = (command: string, ...args: string[]) =>
  execFile(command, args, {env: {...process.env, GOFLAGS: '-mod=mod', GO111MODULE: 'off'}}, () => undefined);
const clients: Client[] = [
  [
    'Node',
    null,
    (port) => (
      connect({port, host: '127.0.0.1', servername: 'real.test', ALPNProtocols: BOTH}).on('error', () => undefined),
      null
    ),
    {alpn: BOTH, supportsTls13: true},
  ],
  [
    'Node with TLS 1.2',
    null,
    (port) => (
      connect({port, host: '127.0.0.1', servername: 'real.test', maxVersion: 'TLSv1.2'}).on('error', () => undefined),
      null
    ),
    {alpn: [], versions: [], supportsTls13: false},
  ],
  [
    'curl',
    'curl',
    (port) =>
      run('curl', '-sk', '--noproxy', '*', '--resolve', `real.test:${port}:127.0.0.1`, `https://real.test:${port}/`),
    {alpn: BOTH, supportsTls13: true},
  ],
  [
    'OpenSSL',
    'openssl',
    (port) =>
      run('openssl', 's_client', '-connect', `127.0.0.1:${port}`, '-servername', 'real.test', '-alpn', 'h2,http/1.1'),
    {alpn: BOTH, supportsTls13: true},
  ],
  [
    'OpenSSL in small records',
    'openssl',
    (port) =>
      run(
        'openssl',
        's_client',
        '-connect',
        `127.0.0.1:${port}`,
        '-servername',
        'real.test',
        '-alpn',
        'h2',
        '-max_send_frag',
        '512',
        '-split_send_frag',
        '512',
      ),
    {alpn: ['h2']},
  ],
  ['Python', 'python3', (port) => run('python3', '-c', PYTHON, String(port)), {alpn: BOTH, supportsTls13: true}],
  [
    'Go',
    'go',
    (port) => run('go', 'run', join(dir, 'hello.go'), `127.0.0.1:${port}`),
    {alpn: BOTH, supportsTls13: true},
  ],
  ['Java', 'java', (port) => run('java', join(dir, 'Hello.java'), String(port)), {alpn: BOTH, supportsTls13: true}],
];

describe('the ClientHello of', () => {
  for (const [name, tool, start, expected] of clients)
    labTest(...(tool === null ? [] : [tool]))(
      `${name} is read, whole and in pieces`,
      async () => {
        const {hello, bytes} = await helloOf(start);
        expect(hello).toMatchObject({sni: 'real.test', ech: false, earlyData: false, ...expected});
        const reader = createClientHelloReader();
        for (const byte of bytes.subarray(0, -1)) expect(reader.push(Buffer.from([byte])).kind).toBe('more');
        expect(reader.push(bytes.subarray(-1))).toEqual(parseClientHello(bytes));
      },
      120_000,
    );
});
