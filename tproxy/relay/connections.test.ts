/** What becomes of connections that carry no request: opaque, silent, passed through, refused; and what a change of policy does to them. */
import {once} from 'node:events';
import type {Duplex} from 'node:stream';
import {connect} from 'node:tls';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {allow, deny, pair, POD, usual, world, type World} from './testing/harness.ts';
import {settled} from './testing/settled.ts';
import type {EgressRequest} from '../../policy/index.ts';

let w: World;
beforeEach(async () => {
  w = await world();
});
afterEach(() => w.close());

const GET = 'GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n';
const tcp = (request: EgressRequest) => (request.traffic.kind === 'unread' ? allow(request) : usual(request));
const opaque = (request: EgressRequest) => (request.traffic.kind === 'opaque' ? allow(request) : usual(request));

async function collect(stream: Duplex): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

describe('tcp', () => {
  test('a rule that looks at no bytes: dialled at once, both ways, half-close kept', async () => {
    w.decide = tcp;
    const client = await w.plain();
    await settled(() => w.tunnels.length === 1);
    const {server, route} = w.tunnels[0]!;
    expect(route).toMatchObject({scheme: 'tcp', name: '127.0.0.1', dial: ['192.0.2.1']});
    server.write('banner ');
    await client.until((received) => received === 'banner ');
    client.send('question');
    client.socket.end();
    expect(await collect(server)).toBe('question');
    server.end('answer');
    expect(await client.all()).toBe('banner answer');
    await settled(() => w.flows.length === 1);
    expect(w.flows[0]).toMatchObject({
      protocol: 'tcp',
      bytesIn: 8,
      bytesOut: 13,
      failure: null,
      upstream: '192.0.2.1:443',
    });
  });

  test('the bytes that were looked at are carried first', async () => {
    w.decide = opaque;
    const client = await w.plain();
    client.send('\x01\x02opaque');
    await settled(() => w.tunnels.length === 1);
    client.socket.end();
    expect(await collect(w.tunnels[0]!.server)).toBe('\x01\x02opaque');
  });

  test('bytes of no protocol are refused with a reset, and nothing is dialled', async () => {
    const client = await w.plain();
    client.send('SSH-2.0-OpenSSH_9.6\r\n');
    await client.all();
    expect(client.error?.code).toBe('ECONNRESET');
    expect(w.decisions[0]!.request.traffic.kind).toBe('opaque');
    expect(w.tunnels).toHaveLength(0);
  });

  test('a client that says nothing is one whose server speaks first, where a rule carries that', async () => {
    w.decide = opaque;
    const client = await w.plain();
    await settled(() => w.tunnels.length === 1);
    w.tunnels[0]!.server.write('220 ready\r\n');
    await client.until((received) => received === '220 ready\r\n');
  });

  test('a silent client that no rule carries is refused', async () => {
    const client = await w.plain();
    await client.all();
    expect(w.flows[0]).toMatchObject({status: null, decision: {verdict: 'deny'}});
    expect(w.tunnels).toHaveLength(0);
  });

  test.each([
    ['a ClientHello', '\x16\x03\x01\x02\x00\x01\x00'],
    ['a request line', 'GET /a HT'],
  ])('part of %s is no server-first protocol: refused, though opaque bytes would be carried', async (_name, bytes) => {
    await w.close();
    w = await world({limits: {headTimeoutMs: 100}});
    w.decide = opaque;
    const client = await w.plain();
    client.send(bytes);
    await client.all();
    expect(w.tunnels).toHaveLength(0);
    expect(w.decisions[0]!.decision.reason).toBe('MalformedRequest');
  });

  test('what only begins like HTTP is 400 in Audit too, but bytes like any to a tcp rule', async () => {
    w.decide = (request) => (request.traffic.kind === 'opaque' ? allow(request, {enforced: false}) : usual(request));
    const client = await w.plain();
    client.send('GET\t/ HTTP/1.1\r\n\r\n');
    expect(await client.all()).toMatch(/^HTTP\/1\.1 400 /);
    expect(w.tunnels).toHaveLength(0);
    w.decide = opaque;
    const other = await w.plain();
    other.send('GET\t/ HTTP/1.1\r\n\r\n');
    await settled(() => w.tunnels.length === 1);
  });

  test('a server that breaks off is seen as a cut, not as an end', async () => {
    w.decide = tcp;
    const client = await w.plain();
    await settled(() => w.tunnels.length === 1);
    w.tunnels[0]!.server.destroy();
    await client.all();
    expect(w.flows[0]!.failure).toMatchObject({reason: 'UpstreamUnreachable'});
  });

  test('a client that does not read stops the server', async () => {
    w.decide = tcp;
    const client = await w.plain();
    client.socket.pause();
    await settled(() => w.tunnels.length === 1);
    const {server} = w.tunnels[0]!;
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    while (sent < 2000 && server.write(chunk)) {
      sent++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sent).toBeLessThan(2000);
  });
});

describe('refusals of the connection itself', () => {
  test('a stranger in the clear reads why', async () => {
    w.workload = 'unknown';
    w.decide = (request) => deny(request, {reason: 'UnknownWorkload'});
    const client = await w.plain();
    client.send(GET);
    await client.until((received) => received.includes(' 418 '));
    expect(w.decisions[0]!.decision.reason).toBe('UnknownWorkload');
  });

  test('above the connection limit: 503 LimitExceeded while few are, then a reset', async () => {
    await w.close();
    w = await world({limits: {connectionsPerWorkload: 1, answeredAboveLimit: 1}});
    const first = await w.tls();
    const second = await w.plain();
    second.send(GET);
    expect(await second.all()).toMatch(/^HTTP\/1\.1 503 [^]*LimitExceeded/);
    second.socket.end();
    await settled(() => w.relay.connections() === 1);
    const third = await w.plain();
    // The kernel may tell of the reset while the client still connects.
    const fourth = await w.plain().catch(() => null);
    await fourth?.all();
    expect(fourth?.received ?? '').toBe('');
    third.send(GET);
    expect(await third.all()).toMatch(/^HTTP\/1\.1 503 /);
    first.send(GET);
    await first.until((received) => received.endsWith('hello'));
  });

  test('a decision that throws is a refusal', async () => {
    w.decide = (request) => {
      if (request.traffic.kind === 'http') throw new Error('bug');
      return usual(request);
    };
    const client = await w.plain();
    client.send(GET);
    await client.until((received) => received.includes(' 503 '));
    expect(w.requests).toHaveLength(0);
  });

  test.each([
    ['no address to dial', {dial: []}],
    ['an UpstreamProxy that does not exist', {via: {kind: 'missing', proxy: 'corp'} as const}],
  ])('an allow with %s is 502, never direct', async (_name, more) => {
    w.decide = (request) => (request.traffic.kind === 'http' ? allow(request, more) : usual(request));
    const client = await w.plain();
    client.send(GET);
    await client.until((received) => received.includes(' 502 '));
    expect(w.requests).toHaveLength(0);
  });

  test('a connection that was dialled straight to our own port is reset before anything is asked', async () => {
    await w.close();
    w = await world({isOwnListener: (ip) => ip === '127.0.0.1'});
    // The reset may come before the client knows that it is connected.
    const client = await w.plain().catch(() => null);
    client?.send('GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
    expect((await client?.all()) ?? '').toBe('');
    expect(w.decisions).toHaveLength(0);
    expect(w.requests).toHaveLength(0);
  });

  test('an allow whose address is a listener of ours is 403, never dialled', async () => {
    await w.close();
    w = await world({isOwnListener: (ip) => ip === '192.0.2.1'});
    const client = await w.plain();
    client.send(GET);
    expect(await client.until((received) => received.includes('this proxy itself'))).toContain('HTTP/1.1 403 ');
    expect(w.requests).toHaveLength(0);
  });
});

describe('a change of policy', () => {
  const stop = (request: EgressRequest) => deny(request);

  test('cuts a tcp connection that is now denied', async () => {
    w.decide = tcp;
    const client = await w.plain();
    await settled(() => w.tunnels.length === 1);
    w.tunnels[0]!.server.write('x');
    await client.until((received) => received === 'x');
    w.decide = stop;
    w.relay.policiesChanged();
    await client.all();
    expect(client.error?.code).toBe('ECONNRESET');
    expect(w.tunnels[0]!.server.destroyed).toBe(true);
    expect(w.flows[0]!.failure).toMatchObject({reason: 'NoRuleMatched'});
  });

  test('cuts a passed-through tls connection that would have to be decrypted now', async () => {
    w.decide = (request) => (request.traffic.kind === 'tls' ? allow(request) : usual(request));
    const raw = await w.raw();
    connect({socket: raw, servername: 'a.test'}).on('error', () => undefined);
    await settled(() => w.tunnels.length === 1);
    expect(w.tunnels[0]!.route).toMatchObject({scheme: 'tls', name: 'a.test'});
    w.decide = usual;
    w.relay.policiesChanged();
    await settled(() => w.flows.length === 1);
    expect(w.flows[0]).toMatchObject({protocol: 'tls', failure: {reason: 'Uninspectable'}});
  });

  test('cuts one whose workload trusts the CA only now, where its decision would still be to let it pass sealed', async () => {
    w.decide = (request) => (request.traffic.kind === 'tls' ? allow(request) : usual(request));
    const raw = await w.raw();
    connect({socket: raw, servername: 'a.test'}).on('error', () => undefined);
    await settled(() => w.tunnels.length === 1);
    // A request is to be seen; of a sealed connection the policy would say yes.
    w.decide = (request) => (request.canInspect ? {needs: 'request'} : allow(request));
    w.relay.policiesChanged();
    await settled(() => w.flows.length === 1);
    expect(w.flows[0]!.failure).toMatchObject({reason: 'Uninspectable'});
  });

  test('cuts a tcp connection that would go through a parent now', async () => {
    w.decide = tcp;
    const client = await w.plain();
    await settled(() => w.tunnels.length === 1);
    w.decide = (request) => allow(request, {via: {kind: 'proxy', proxy: 'corp', sends: 'address'}});
    w.relay.policiesChanged();
    await client.all();
    expect(w.flows[0]!.failure).toMatchObject({
      reason: 'UpstreamUnreachable',
      message: expect.stringContaining('through the UpstreamProxy corp now'),
    });
  });

  test('leaves alone what is still allowed', async () => {
    w.decide = tcp;
    const client = await w.plain();
    await settled(() => w.tunnels.length === 1);
    w.relay.policiesChanged();
    client.send('still');
    client.socket.end();
    expect(await collect(w.tunnels[0]!.server)).toBe('still');
  });

  test('of a name only the connected address is judged again', async () => {
    let judged: readonly string[] | 'failed' | undefined;
    w.decide = (request, names) => {
      if (request.traffic.kind !== 'http') return usual(request);
      judged = names.get('a.test');
      return judged === undefined ? {needs: 'addresses', of: ['a.test'], recent: false} : allow(request);
    };
    w.serve = (seen, event) => {
      if (event === 'end') seen.handlers.dialled('192.0.2.1:80', null);
    };
    const client = await w.plain();
    client.send(GET);
    await settled(() => w.requests.length === 1 && w.requests[0]!.ended);
    judged = undefined;
    w.relay.policiesChanged();
    expect(judged).toEqual(['192.0.2.1']);
  });

  test('a request that is sent again at another address is judged there', async () => {
    const denied = '192.0.2.2';
    w.decide = (request, names) => {
      if (request.traffic.kind !== 'http') return usual(request);
      const found = names.get('a.test');
      if (found === undefined) return {needs: 'addresses', of: ['a.test'], recent: false};
      return found.includes(denied) ? deny(request) : allow(request, {dial: ['192.0.2.1', denied]});
    };
    w.serve = (seen, event) => {
      if (event === 'end') seen.handlers.dialled('192.0.2.1:80', null);
    };
    const client = await w.plain();
    client.send(GET);
    await settled(() => w.requests.length === 1 && w.requests[0]!.ended);
    w.relay.policiesChanged();
    expect(w.requests[0]!.aborted).toBe(false);
    w.requests[0]!.handlers.dialled(`${denied}:80`, null);
    expect(await client.until((received) => received.includes('by the test'))).toContain('HTTP/1.1 418 ');
    expect(w.requests[0]!.aborted).toBe(true);
  });

  test('a tcp connection whose address is denied while it is dialled gives its server nothing', async () => {
    w.decide = opaque;
    const client = await w.plain();
    w.whenDialled = () => {
      // Not its name, but the address that it turns out to have.
      let judged = 0;
      w.decide = (request) => (judged++ === 0 ? allow(request) : deny(request));
      w.relay.policiesChanged();
    };
    client.send('\x01\x02opaque');
    await client.all();
    expect(client.error?.code).toBe('ECONNRESET');
    expect(w.flows).toMatchObject([{bytesIn: 0, upstream: '192.0.2.1:443', failure: {reason: 'NoRuleMatched'}}]);
    expect(w.tunnels[0]!.server.destroyed).toBe(true);
  });

  test('ends a WebSocket that is now denied', async () => {
    const {client, server} = await webSocket();
    w.decide = stop;
    w.relay.policiesChanged();
    await client.all();
    expect(server.destroyed).toBe(true);
    expect(w.flows.at(-1)).toMatchObject({protocol: 'websocket', status: 101, failure: {reason: 'NoRuleMatched'}});
  });

  test('a running request that got no answer yet is answered with the denial, and its upstream is aborted', async () => {
    w.serve = () => undefined;
    const client = await w.tls();
    client.send(GET);
    await settled(() => w.requests.length === 1);
    w.decide = stop;
    w.relay.policiesChanged();
    await client.until((received) => received.includes(' 418 '));
    expect(w.requests[0]!.aborted).toBe(true);
  });

  test('connections of a workload that is gone are cut', async () => {
    w.decide = tcp;
    const client = await w.plain();
    await settled(() => w.tunnels.length === 1);
    w.workload = 'unknown';
    w.relay.workloadsChanged();
    await client.all();
    await settled(() => w.relay.connections() === 0);
  });

  test('another pod on the same address gets no connection of the former', async () => {
    const client = await w.tls();
    client.send(GET);
    await client.until((received) => received.endsWith('hello'));
    w.workload = {...POD, uid: 'uid-2'};
    w.relay.workloadsChanged();
    await client.all();
  });
});

async function webSocket() {
  const [ours, server] = pair();
  w.serve = (seen, event) => {
    if (event === 'end') seen.handlers.upgraded(['Sec-WebSocket-Accept', 'x'], ours);
  };
  const client = await w.tls();
  client.send(
    'GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nearly',
  );
  await client.until((received) => received.endsWith('\r\n\r\n'));
  return {client, server};
}

test('a WebSocket is piped both ways, bytes behind the head included', async () => {
  const {client, server} = await webSocket();
  expect(client.received).toMatch(/^HTTP\/1\.1 101 [^]*Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n$/);
  expect(w.requests[0]!.request).toMatchObject({upgrade: 'websocket', client: 'h1'});
  server.write('frame');
  await client.until((received) => received.endsWith('frame'));
  client.send(' late');
  client.socket.end();
  expect(await collect(server)).toBe('early late');
  server.end();
  await settled(() => w.flows.length === 1);
  expect(w.flows[0]).toMatchObject({protocol: 'websocket', status: 101, failure: null});
});

describe('the explicit port', () => {
  test('absolute-form is decided and sent in origin-form', async () => {
    const client = await w.plain('explicit');
    client.send(
      'GET http://a.test:8080/x?y HTTP/1.1\r\nHost: a.test:8080\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\n\r\n',
    );
    await client.until((received) => received.endsWith('hello'));
    expect(w.requests[0]).toMatchObject({
      route: {scheme: 'http', name: 'a.test', port: 8080},
      request: {target: '/x?y', authority: 'a.test:8080', headers: []},
    });
    expect(w.decisions[0]!.request).toMatchObject({
      arrived: 'explicit',
      destination: {ip: null, port: 8080, host: 'a.test'},
      connectAuthority: null,
    });
  });

  test.each([
    ['an https target in the clear', 'GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n', 'CONNECT'],
    ['origin-form', 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n', 'HTTPS_PROXY'],
  ])('%s is 400 with what to do', async (_name, bytes, text) => {
    const client = await w.plain('explicit');
    client.send(bytes);
    const received = await client.all();
    expect(received).toMatch(/^HTTP\/1\.1 400 /);
    expect(received).toContain(text);
    expect(w.requests).toHaveLength(0);
  });

  test('CONNECT is answered at once with nothing dialled; inside, the request is decided', async () => {
    const raw = await w.raw('explicit');
    raw.write('CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n');
    const [head] = (await once(raw, 'data')) as [Buffer];
    expect(head.toString()).toBe('HTTP/1.1 200 Connection established\r\n\r\n');
    expect(w.requests).toHaveLength(0);
    expect(w.tunnels).toHaveLength(0);
    const client = await w.tls({}, raw);
    client.send(GET);
    await client.until((received) => received.endsWith('hello'));
    expect(w.decisions[0]!.request).toMatchObject({
      arrived: 'explicit',
      connectAuthority: {host: 'a.test', port: 443},
      destination: {ip: null, port: 443, host: 'a.test'},
    });
    client.send('GET /no HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await client.until((received) => received.endsWith('by the test'));
  });

  test('plain HTTP inside CONNECT is http under that authority', async () => {
    const client = await w.plain('explicit');
    client.send(`CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n${GET}`);
    await client.until((received) => received.endsWith('hello'));
    expect(w.decisions[0]!.request).toMatchObject({
      traffic: {kind: 'http'},
      connectAuthority: {host: 'a.test', port: 80},
    });
  });

  test('a stranger is refused on the CONNECT itself', async () => {
    w.workload = 'unknown';
    w.decide = (request) => deny(request, {reason: 'UnknownWorkload'});
    const client = await w.plain('explicit');
    client.send('CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n');
    expect(await client.all()).toMatch(/^HTTP\/1\.1 418 /);
    expect(w.decisions).toHaveLength(1);
  });

  test('opaque bytes inside CONNECT are carried by tcp rules only', async () => {
    const client = await w.plain('explicit');
    client.send('CONNECT a.test:22 HTTP/1.1\r\nHost: a.test:22\r\n\r\nSSH-2.0-x\r\n');
    await client.all();
    expect(client.received).toBe('HTTP/1.1 200 Connection established\r\n\r\n');
    expect(w.tunnels).toHaveLength(0);
  });
});

describe('drain', () => {
  test('idle connections end, and the next answer of the others says close', async () => {
    const held: (() => void)[] = [];
    w.serve = (seen, event) => {
      if (event === 'end')
        held.push(() => {
          seen.handlers.head(200, [], 2);
          seen.handlers.body(Buffer.from('ok'));
          seen.handlers.end([]);
        });
    };
    const busy = await w.tls();
    busy.send(GET);
    await settled(() => held.length === 1);
    w.relay.drain(60_000);
    held[0]!();
    const received = await busy.all();
    expect(received).toContain('Connection: close');
    expect(received).toMatch(/ok$/);
  });
});
