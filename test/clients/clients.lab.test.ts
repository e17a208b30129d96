/** Real clients through the proxy, each with the variables that the injector sets: what a pod's programs will meet. */
import {createServer as createHttpServer} from 'node:http';
import {createSecureServer, type Http2ServerRequest, type Http2ServerResponse} from 'node:http2';
import {createHash, randomBytes} from 'node:crypto';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, beforeAll, expect} from '@jest/globals';
import {proxiedLab, type ProxiedLab} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {grpcEchoServer, listenGrpc} from './grpc-server.ts';
import {webSocketServer} from './websocket-server.ts';

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'clients', namespace: 'default'},
  spec: {
    podSelector: {},
    rules: [
      {name: 'site', to: {hosts: ['site.test'], schemes: ['https', 'http']}, http: {paths: ['/ok/**']}},
      {name: 'grpc', to: {hosts: ['grpc.test']}, http: {paths: ['/echo.Echo/Allowed*']}},
      {name: 'chat', to: {hosts: ['chat.test']}},
    ],
    deny: {status: 418, contentType: 'text/plain', body: 'Access Denied by Administrator'},
  },
};
const here = import.meta.dirname;
const program = (name: string): string => join(here, 'programs', name);

const BIG_BYTES = 20_000_000;
const BIG = randomBytes(BIG_BYTES);

/** Echoes the request line; /ok/upload answers the hash of the body, /ok/big sends a large one. */
function serveSite(request: Http2ServerRequest, response: Http2ServerResponse): void {
  if (request.url === '/ok/big') {
    response.end(BIG);
  } else if (request.url === '/ok/upload') {
    const hash = createHash('sha256');
    request.on('data', (chunk: Buffer) => hash.update(chunk));
    request.on('end', () => response.end(hash.digest('hex')));
  } else {
    response.end(`${request.httpVersion} ${request.method} ${request.url}`);
  }
}

let world: ProxiedLab;
let grpc: Awaited<ReturnType<typeof listenGrpc>>;
const it = labTest('curl', 'python3', 'java', 'go');

beforeAll(async () => {
  world = await proxiedLab({name: 'clients', policies: [POLICY]});
  const context = {
    SNICallback: (_: string, done: (error: null, context: ReturnType<typeof world.ca.leaves.context>) => void) =>
      done(null, world.ca.leaves.context('site.test')),
  };
  await world.addSite('site.test', 443, createSecureServer({...context, allowHTTP1: true}, serveSite));
  await world.addSite(
    'site.test',
    80,
    createHttpServer((request, response) => response.end(`${request.httpVersion} ${request.method} ${request.url}`)),
  );
  grpc = await listenGrpc(grpcEchoServer(), world.ca.leaves, 'grpc.test');
  await world.addSite('grpc.test', 443, grpc.front);
  await world.addSite('chat.test', 443, webSocketServer(world.ca.leaves, 'chat.test'));
}, 60_000);
afterAll(async () => {
  grpc?.close();
  await world?.close();
});

const run = async (...argv: string[]): Promise<string> => {
  const {status, stdout, stderr} = await world.lab.exec('app', argv, {env: world.trust, timeoutMs: 110_000});
  return `${stdout.trim()}${status === 0 ? '' : ` [exit ${status}: ${stderr.trim()}]`}`;
};
const curl = (...more: string[]): Promise<string> =>
  run('curl', '-sS', '-m', '10', '-w', ' %{http_code} h%{http_version}', ...more);

it('curl speaks HTTP/1.1 and HTTP/2 through the proxy and reads a refusal on both', async () => {
  expect(await curl('--http1.1', 'https://site.test/ok/a')).toBe('1.1 GET /ok/a 200 h1.1');
  expect(await curl('--http2', 'https://site.test/ok/a')).toBe('2.0 GET /ok/a 200 h2');
  expect(await curl('--http1.1', 'https://site.test/no')).toBe('Access Denied by Administrator 418 h1.1');
  expect(await curl('--http2', 'https://site.test/no')).toBe('Access Denied by Administrator 418 h2');
  expect(await curl('http://site.test/ok/a')).toBe('1.1 GET /ok/a 200 h1.1');
});

it('20 MB go up and come down whole, over HTTP/1.1 and HTTP/2', async () => {
  const file = join(world.dir, 'big');
  writeFileSync(file, randomBytes(BIG_BYTES));
  const sum = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  for (const version of ['--http1.1', '--http2']) {
    expect(await curl(version, '--data-binary', `@${file}`, 'https://site.test/ok/upload')).toMatch(
      `${sum(readFileSync(file))} 200 h`,
    );
    const down = join(world.dir, `down${version}`);
    expect(await curl(version, '-o', down, 'https://site.test/ok/big')).toMatch('200 h');
    expect(sum(readFileSync(down))).toBe(sum(BIG));
  }
}, 60_000);

it('Python requests trusts the leaf, keeps its connection and reads a refusal', async () => {
  expect(await run('python3', program('client.py'))).toBe(
    '200 1.1 GET /ok/a\n200 1.1 POST /ok/b\n418 Access Denied by Administrator',
  );
}, 60_000);

it('Node fetch trusts the leaf and reads a refusal', async () => {
  expect(await run(process.execPath, program('client.mjs'))).toBe(
    '200 1.1 GET /ok/a\n200 1.1 POST /ok/b\n418 Access Denied by Administrator',
  );
}, 60_000);

it('Java HttpClient trusts the PKCS#12 bundle, speaks HTTP/2 and reads a refusal', async () => {
  expect(
    (await run('java', program('Client.java'))).split('\n').filter((line) => !line.startsWith('Picked up')),
  ).toEqual(['200 HTTP_2 2.0 GET /ok/a', '200 HTTP_2 2.0 POST /ok/b', '418 HTTP_2 Access Denied by Administrator']);
}, 120_000);

it('Go net/http trusts the leaf, speaks HTTP/2 and reads a refusal', async () => {
  expect(await run('go', 'run', program('client.go'))).toBe(
    '200 HTTP/2.0 2.0 GET /ok/a\n200 HTTP/2.0 2.0 POST /ok/b\n418 HTTP/2.0 Access Denied by Administrator',
  );
}, 120_000);

it('a gRPC client gets its streams both ways, its trailers, and PERMISSION_DENIED where refused', async () => {
  expect((await run(process.execPath, program('grpc.mjs'))).split('\n')).toEqual([
    'unary: hello trailer=from-server',
    'bidi: one,two,three trailer=from-server',
    'denied: 7 PERMISSION_DENIED',
  ]);
}, 60_000);

it('a WebSocket client exchanges frames both ways and sees the close', async () => {
  expect(await run(process.execPath, program('websocket.mjs'))).toBe('echo:hello\necho:100000\nclosed 1000');
}, 60_000);

it('every one of them was decided and journalled with its rule', async () => {
  for (const rule of ['site', 'grpc', 'chat'])
    await world.seen(
      (line) => line.event === 'egress.decision' && line['rule'] === rule && line['verdict'] === 'allow',
    );
  await world.seen((line) => line.event === 'egress.flow' && line['protocol'] === 'websocket');
  await world.seen((line) => line.event === 'egress.flow' && line['protocol'] === 'grpc');
});
