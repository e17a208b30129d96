/** Reloads and drains under load: nobody who is still allowed loses a connection; a drain ends each protocol as it can be ended. */
import {createServer as createHttp} from 'node:http';
import {createSecureServer} from 'node:http2';
import {afterEach, expect} from '@jest/globals';
import {eventually} from '../lab/capture-rig.ts';
import {proxiedLab, type ProxiedLab} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {admin, curl, descriptors, metric, policy, readyz, workersOf} from './fault-lab.ts';
import {
  echoServer,
  opaque,
  sealed,
  streamEchoServer,
  streams,
  tlsEchoServer,
  webSocket,
  webSocketEchoServer,
  type Living,
} from './living.ts';
import {http1Traffic, http2Traffic} from './traffic.ts';
import {within} from '../waiting.ts';

const it = labTest('curl');

let world: ProxiedLab | null = null;
const opened: Living[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) one.end();
  await world?.close();
  world = null;
});

const TCP_PORT = 5432;
/** Allowed by each version; the last rule differs. */
const version = (n: number): object =>
  policy([
    {name: 'web', to: {hosts: ['web.test'], schemes: ['http', 'https']}},
    {name: 'seen', to: {hosts: ['chat.test', 'grpc.test']}},
    {name: 'sealed', to: {hosts: ['sealed.test'], schemes: ['tls']}},
    {name: 'bytes', to: {hosts: ['bytes.test'], schemes: ['tcp'], ports: [TCP_PORT]}},
    {name: `version-${n}`, to: {hosts: [`v${n}.test`]}},
  ]);

async function open(workers: number): Promise<{w: ProxiedLab; kept: Record<string, Living>; web: string}> {
  const w = (world = await proxiedLab({name: 'reload', policies: [version(0)], flags: ['--workers', String(workers)]}));
  const {leaves} = w.ca;
  const web = await w.addSite(
    'web.test',
    80,
    createHttp({keepAliveTimeout: 60_000}, (_, response) => response.end('hello')),
  );
  await w.addSite(
    'web.test',
    443,
    createSecureServer({SNICallback: (_, done) => done(null, leaves.context('web.test'))}, (_, response) =>
      response.end('hello'),
    ),
  );
  const chat = await w.addSite('chat.test', 443, webSocketEchoServer(leaves, 'chat.test'));
  const grpc = await w.addSite('grpc.test', 443, streamEchoServer(leaves, 'grpc.test'));
  const sealedIp = await w.addSite('sealed.test', 443, tlsEchoServer(leaves, 'sealed.test'));
  const bytes = await w.addSite('bytes.test', TCP_PORT, echoServer());
  const [stream] = await streams(w, 'captured', grpc, 'grpc.test', ['/a.A/Bidi']);
  const kept = {
    chat: await webSocket(w, 'captured', chat, 'chat.test'),
    explicit: await webSocket(w, 'explicit', chat, 'chat.test'),
    stream: stream!,
    sealed: await sealed(w, 'captured', sealedIp, 'sealed.test'),
    bytes: await opaque(w, bytes, TCP_PORT),
  };
  opened.push(...Object.values(kept));
  for (const [what, one] of Object.entries(kept)) expect([what, await one.echo('before')]).toEqual([what, true]);
  return {w, kept, web};
}

it('fifty reloads in a row under load: every request is answered, no connection is closed, nothing is left over', async () => {
  const {w, kept, web} = await open(2);
  const traffic = [
    ...Array.from({length: 6}, () => http1Traffic(w, web, 'web.test')),
    await http2Traffic(w, web, 'web.test'),
    await http2Traffic(w, web, 'web.test'),
  ];
  const [worker] = workersOf(w.proxy.pid!);
  await eventually(() => traffic.every((one) => one.answered > 3));
  const before = descriptors(worker!);
  for (let n = 1; n <= 50; n++) {
    const answered = traffic.map((one) => one.answered);
    w.setPolicy(version(n));
    await w.seen(() => w.journal.filter((line) => line.event === 'policy.loaded').length > n);
    // Each goes on under this version before the next one comes.
    await eventually(() => traffic.every((one, i) => one.answered > answered[i]! || one.problems.length > 0));
  }
  expect(traffic.map((one) => one.problems)).toEqual(traffic.map(() => []));
  for (const [what, one] of Object.entries(kept)) expect([what, await one.echo('after')]).toEqual([what, true]);
  await eventually(async () => (await readyz(w)).workers.current);
  expect((await readyz(w)).policies.version).toBeGreaterThan(50);
  await eventually(() => descriptors(worker!) <= before + 4);
  await Promise.all(traffic.map((one) => one.stop()));
  expect(await metric(w, 'sallyport_worker_restarts_total')).toBe(0);
}, 120_000);

it('SIGTERM in the middle: what runs goes on, kept connections end between requests, tunnels at the deadline, exit 0', async () => {
  const {w, kept, web} = await open(1);
  const one = http1Traffic(w, web, 'web.test');
  const two = await http2Traffic(w, web, 'web.test');
  await eventually(() => one.answered > 3 && two.answered > 3);
  const ended = new Promise((resolve) => w.proxy.once('exit', resolve));
  w.proxy.kill('SIGTERM');
  await w.seen((line) => line.event === 'tproxy.draining');
  expect(JSON.parse(await admin(w, '/readyz'))).toMatchObject({ready: false, draining: true});
  // Between requests: closed after an answer, none is cut.
  await eventually(() => one.problems.length > 0 && two.problems.length > 0);
  expect(one.problems).toEqual(['closed']);
  expect(two.problems[0]).toBe('goaway');
  expect(two.problems.filter((problem) => /ECONNRESET|50\d/.test(problem))).toEqual([]);
  // What has no such moment lives on: a WebSocket, a stream, bytes.
  for (const [what, living] of Object.entries(kept))
    expect([what, await living.echo('draining')]).toEqual([what, true]);
  // Somebody who does not want to wait.
  w.proxy.kill('SIGTERM');
  await Promise.all(Object.values(kept).map((living) => living.gone));
  expect(await within(ended, 'the end of the proxy')).toBe(0);
  // Away: no way out, and none past it.
  expect(await curl(w, 'http://web.test/', '-m', '2')).toBe('curl exit 28');
}, 60_000);
