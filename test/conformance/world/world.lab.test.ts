import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createLab, hasLabPrivileges, type Lab} from '../../lab/index.ts';
import {labTest as labTestWith} from '../../lab/require.ts';
import {curlCommand, readCurl} from '../client/curl.ts';
import {runUdp} from '../client/datagram.ts';
import {KeptConnections} from '../client/kept.ts';
import {runRaw} from '../client/raw.ts';
import type {Action, RequestAction} from '../format/case.ts';
import {readCase} from '../format/read.ts';
import type {Answer, Sighting} from '../observation.ts';
import {worldAddresses} from './addresses.ts';
import {createAuthorities} from './certificates.ts';
import {RESOLVER, startWorld, type StandingWorld} from './world.ts';

const labTest = labTestWith('curl');

const SERVERS = `{
  web.test: {ports: {443: https, 80: http}},
  expired.test: {ports: {443: https}, certificate: expired},
  db.test: {ports: {5432: echo, 25: banner, 853: tls-echo}, address: 10.60.0.1},
  six.test: {ports: {80: http}, address: "2a0e:b107:5::80"},
  meta.test: {ports: {80: http}, address: 169.254.169.254},
  loop.test: {ports: {80: http}, address: 127.0.0.9},
  proxy.test: {ports: {3128: connect-proxy}},
  closed.test: {ports: {3128: connect-proxy}, auth: {username: u, password: p}}
}`;
const withStep = (step: string) =>
  readCase(
    'w.yaml',
    `name: w\nworkloads: {app: {}}\nservers: ${SERVERS}\nsteps: [{name: a, ${step}, expect: {reached: null}}]\n`,
  );
const actionOf = (step: string): Action => withStep(step).steps[0]!.action;

/** Nothing guards anything here: what the runner must not fail to see is seen. */
describe('a world without a proxy', () => {
  let lab: Lab;
  let world: StandingWorld;
  let folder: string;
  const authorities = createAuthorities();
  const kept = new KeptConnections();

  beforeAll(async () => {
    if (!hasLabPrivileges().ok) return;
    const one = withStep('ping: web.test');
    lab = await createLab({name: 'cfworld', pods: [{name: 'app'}]});
    for (const where of ['app', 'node']) lab.setResolver(where, RESOLVER);
    world = await startWorld(one, lab, authorities, worldAddresses(one), () => undefined);
    folder = mkdtempSync(join(tmpdir(), 'sallyport-world-'));
    writeFileSync(join(folder, 'ca.pem'), authorities.trusted);
  });
  afterAll(async () => {
    kept.close();
    await world?.close();
    await lab?.close();
    if (folder !== undefined) rmSync(folder, {recursive: true});
  });

  const addressOf = (name: string): string => world.addresses.get(name)![0]!;
  const brief = (sightings: readonly Sighting[]): string[] =>
    sightings.map((one) => [one.server, one.how, one.target, one.carriedBy].filter((part) => part !== null).join(' '));

  async function curl(
    request: string,
    where = 'app',
    parent = 'proxy.test',
  ): Promise<{answer: Answer; saw: string[]; json: Record<string, unknown>}> {
    world.ledger.take();
    const action = actionOf(`request: ${request}`) as RequestAction;
    const {argv, stdin} = curlCommand(action, {
      caFile: join(folder, 'ca.pem'),
      proxy: {host: addressOf(parent), port: 3128},
      literal: addressOf(action.url.host),
    });
    const {answer} = readCurl(action, await lab.exec(where, argv, stdin === null ? {} : {stdin}), true);
    const text = answer.kind === 'response' && answer.body.startsWith('{') ? answer.body : '{}';
    return {answer, saw: brief(world.ledger.take()), json: JSON.parse(text) as Record<string, unknown>};
  }

  labTest.each([
    ['https', '{url: "https://web.test/a?b", headers: {x-a: ["1", "2"]}}', 'web.test request /a?b'],
    [
      'https over HTTP/2',
      '{url: "https://web.test/a?b", http: "2", headers: {x-a: ["1", "2"]}}',
      'web.test request /a?b',
    ],
    ['http', '{url: "http://web.test/a/../b", headers: {x-a: ["1", "2"]}}', 'web.test request /a/../b'],
    [
      'http over HTTP/2 with prior knowledge',
      '{url: "http://web.test/a", http: "2", headers: {x-a: ["1", "2"]}}',
      'web.test request /a',
    ],
  ])('a request by %s is seen as it was sent, repeated headers too', async (_name, request, saw) => {
    const seen = await curl(request);
    expect(seen.answer).toMatchObject({kind: 'response', status: 200});
    expect(seen.saw).toEqual([saw]);
    expect(seen.json).toMatchObject({host: 'web.test', method: 'GET', headers: {'x-a': ['1', '2']}});
  });

  labTest.each([
    ['/status/404', 404],
    ['/status/204', 204],
    ['/bytes/100000', 200],
    ['/slow/50', 200],
  ])('%s', async (path, status) => {
    const {answer} = await curl(`{url: "https://web.test${path}", http: "2"}`);
    expect(answer).toMatchObject({status});
    if (path === '/bytes/100000') expect(answer).toMatchObject({body: 'b'.repeat(100_000)});
  });

  labTest('a body comes back, and SNI and ALPN are told', async () => {
    const {json} = await curl('{url: "https://web.test/", method: PUT, body: hello}');
    expect(json).toMatchObject({
      method: 'PUT',
      body: 'hello',
      tls: {sni: 'web.test', alpn: 'http/1.1'},
      peer: lab.pod('app').ip4,
    });
  });

  labTest('no SNI is none', async () => {
    expect((await curl('{url: "https://web.test/", sni: ""}')).json).toMatchObject({
      host: 'web.test',
      tls: {sni: null},
    });
  });

  labTest('gRPC-shaped requests come back with a status in the trailers', async () => {
    const {answer, saw} = await curl(
      '{url: "https://web.test/p.S/C", method: POST, http: "2", body: x, headers: {content-type: application/grpc, te: trailers}}',
    );
    expect(answer).toMatchObject({status: 200, body: 'x'});
    expect(saw).toEqual(['web.test request /p.S/C']);
  });

  labTest('a certificate that expired is refused by a client that checks, and its server saw no request', async () => {
    const {answer, saw} = await curl('{url: "https://expired.test/"}');
    expect([answer.kind, saw]).toEqual(['refused', []]);
  });

  labTest.each(['six.test', 'meta.test'])('the server at the fixed address of %s is there', async (name) => {
    expect((await curl(`{url: "http://${name}/"}`)).saw).toEqual([`${name} request /`]);
  });

  labTest('a server on loopback is where the proxy would get, and not where a pod does', async () => {
    expect((await curl('{url: "http://loop.test/"}')).saw).toEqual([]);
    expect((await curl('{url: "http://loop.test/"}', 'node')).saw).toEqual(['loop.test request /']);
  });

  labTest('a parent carries, and both ends say so', async () => {
    expect((await curl('{url: "https://web.test/a", via: explicit}')).saw).toEqual([
      'proxy.test connect web.test:443',
      'web.test request /a proxy.test',
    ]);
    expect((await curl('{url: "http://web.test/a", via: explicit}')).saw).toEqual([
      'proxy.test request http://web.test/a',
      'web.test request /a proxy.test',
    ]);
  });

  labTest('a parent that asks for credentials carries nothing without them', async () => {
    const {answer, saw} = await curl('{url: "https://web.test/a", via: explicit}', 'app', 'closed.test');
    expect([answer.kind === 'response' && answer.status, saw]).toEqual([407, ['closed.test connect web.test:443']]);
  });

  labTest.each([
    ['an echo', '{to: "db.test:5432", send: ["hi"]}', 'hi', ['db.test bytes']],
    [
      'a server that speaks first',
      '{to: "db.test:25", send: [{sleep: 0.2}, "hi"]}',
      '220 ready\r\nhi',
      ['db.test bytes'],
    ],
    ['an echo inside TLS', '{to: "db.test:853", tls: {sni: db.test}, send: ["hi"]}', 'hi', ['db.test bytes']],
  ])('%s', async (_name, raw, latin1, saw) => {
    world.ledger.take();
    const action = actionOf(`raw: ${raw}`);
    const {answer} = await runRaw(lab.pod('app').path, addressOf('db.test'), action as never, {});
    expect(answer).toEqual({kind: 'bytes', latin1});
    expect(brief(world.ledger.take())).toEqual(saw);
  });

  labTest('half a request is bytes that were seen', async () => {
    world.ledger.take();
    const action = actionOf('raw: {to: "web.test:80", send: ["GET /a HTTP/1.1\\r\\n"]}');
    await runRaw(lab.pod('app').path, addressOf('web.test'), action as never, {});
    expect(brief(world.ledger.take())).toEqual(['web.test bytes']);
  });

  labTest('a WebSocket echoes', async () => {
    const head =
      'GET /ws HTTP/1.1\\r\\nHost: web.test\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n';
    const action = actionOf(
      `raw: {to: "web.test:443", tls: {sni: web.test, alpn: [http/1.1]}, send: ["${head}", {sleep: 0.1}, "\\x81\\x85\\0\\0\\0\\0hello"]}`,
    );
    const {answer, responses} = await runRaw(lab.pod('app').path, addressOf('web.test'), action as never, {
      status: 101,
    });
    expect([answer.kind === 'response' && answer.status, responses]).toEqual([101, [101]]);
  });

  labTest('a datagram is seen and answered; where nobody listens, refused', async () => {
    world.ledger.take();
    const pod = lab.pod('app');
    expect(await runUdp(pod.path, pod.ip4, {ip: addressOf('web.test'), port: 443}, 'hi')).toEqual({
      kind: 'bytes',
      latin1: 'hi',
    });
    expect(brief(world.ledger.take())).toEqual(['web.test bytes']);
    expect(await runUdp(pod.path, pod.ip4, {ip: addressOf('web.test'), port: 444}, 'hi')).toEqual({
      kind: 'refused',
      how: 'ECONNREFUSED',
    });
  });

  labTest.each(['1.1', '2'])('a kept connection is one connection, HTTP/%s', async (http) => {
    const place = {
      path: lab.pod('app').path,
      ip: addressOf('web.test'),
      proxy: {host: addressOf('proxy.test'), port: 3128},
      ca: authorities.trusted,
    };
    const ask = (path: string) =>
      kept.request(
        `c${http}`,
        actionOf(`request: {url: "https://web.test${path}", http: "${http}", connection: c}`) as RequestAction,
        place,
        false,
      );
    const first = await ask('/1');
    const second = await ask('/status/404');
    expect([first.answer, second.answer]).toMatchObject([{status: 200}, {status: 404}]);
    expect([second.source, second.version, second.wasClosed]).toEqual([first.source, http, false]);
  });
});
