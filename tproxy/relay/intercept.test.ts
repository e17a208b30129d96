/** The TLS of Node, as measured: each quirk that the relay relies on, or guards against, is pinned here. */
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {once} from 'node:events';
import type {Socket} from 'node:net';
import {Duplex} from 'node:stream';
import {connect as tlsConnect, type TLSSocket} from 'node:tls';
import {settled} from './testing/settled.ts';
import {allow, Client, deny, POD, usual, world, type World} from './testing/harness.ts';

let w: World;
beforeEach(async () => {
  w = await world();
});
afterEach(() => w.close());

const GET = 'GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n';

describe('the handshake', () => {
  test('the leaf is for the peeked SNI, and the server is asked nothing before a request was decided', async () => {
    const client = await w.tls({servername: 'b.test'});
    expect((client.socket as TLSSocket).getPeerCertificate().subjectaltname).toBe('DNS:b.test');
    expect(w.requests).toHaveLength(0);
    expect(w.tunnels).toHaveLength(0);
  });

  test('without SNI the leaf is for the address that was dialled', async () => {
    const client = await w.tls({servername: '', checkServerIdentity: () => undefined});
    expect((client.socket as TLSSocket).getPeerCertificate().subjectaltname).toBe('IP Address:127.0.0.1');
  });

  test.each([
    [['h2', 'http/1.1'], 'h2'],
    [['http/1.1', 'h2'], 'h2'],
    [['http/1.1'], 'http/1.1'],
    [['http/1.0'], false],
    [[], false],
  ])('a client that offers %j gets %j', async (ALPNProtocols, chosen) => {
    const client = await w.tls({ALPNProtocols});
    expect((client.socket as TLSSocket).alpnProtocol).toBe(chosen);
  });

  test('a client cannot renegotiate: Node accepts it unless the context forbids it', async () => {
    const client = await w.tls({maxVersion: 'TLSv1.2'});
    client.send(GET);
    await client.until((received) => received.endsWith('hello'));
    const socket = client.socket as TLSSocket;
    const refused = new Promise<Error | null>((resolve) => {
      socket.once('error', resolve);
      socket.once('close', () => resolve(new Error('closed')));
      socket.renegotiate({}, (error) => resolve(error));
    });
    expect(await refused).not.toBeNull();
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'a %s session of one name is no way to another: only the peeked SNI counts',
    async (version) => {
      const first = await w.tls({servername: 'a.test', maxVersion: version, minVersion: version});
      const socket = first.socket as TLSSocket;
      let session: Buffer | undefined = socket.getSession();
      if (version === 'TLSv1.3') [session] = (await once(socket, 'session')) as [Buffer];
      const second = await w.tls({
        servername: 'b.test',
        session: Buffer.from(session!),
        maxVersion: version,
        minVersion: version,
      });
      second.send(GET);
      await second.until((received) => received.includes('HTTP/1.1 421 '));
      expect(w.decisions.at(-1)!.request.traffic).toMatchObject({kind: 'https', tls: {sni: 'b.test'}});
      expect(w.requests).toHaveLength(0);
    },
  );

  test('a resumed TLS 1.2 session of the same name is decided by its own ClientHello', async () => {
    const first = await w.tls({maxVersion: 'TLSv1.2'});
    const session = (first.socket as TLSSocket).getSession()!;
    const second = await w.tls({maxVersion: 'TLSv1.2', session});
    expect((second.socket as TLSSocket).isSessionReused()).toBe(true);
    second.send(GET);
    await second.until((received) => received.endsWith('hello'));
    expect(w.requests[0]!.route.name).toBe('a.test');
  });

  test('a ClientHello in single bytes is understood', async () => {
    const raw = await w.raw();
    const tls = tlsConnect({socket: dripping(raw), servername: 'a.test', ca: w.ca});
    await once(tls, 'secureConnect');
    const client = new Client(tls);
    client.send(GET);
    await client.until((received) => received.endsWith('hello'));
  });
});

describe('a client that rejects the leaf', () => {
  async function reject(): Promise<void> {
    const raw = await w.raw();
    const tls = tlsConnect({socket: raw, servername: 'pinned.test', ca: []});
    tls.on('error', () => undefined);
    await new Promise<void>((resolve) => tls.once('close', () => resolve()));
    await settled(() => w.flows.length > 0);
  }

  test('is counted and journalled with what to do', async () => {
    await reject();
    expect(w.counted).toContain('leaf.rejected');
    expect(w.decisions[0]!.decision).toMatchObject({verdict: 'deny', reason: 'ClientRejectedLeaf'});
    expect(w.decisions[0]!.decision.message).toContain('write a `tls` rule');
    expect(w.requests).toHaveLength(0);
  });

  test('under Enforce is intercepted again the next time: it never becomes a way out', async () => {
    w.decide = (request) => (request.traffic.kind === 'tls' && !request.canInspect ? allow(request) : usual(request));
    await reject();
    await reject();
    expect(w.tunnels).toHaveLength(0);
  });

  test('in Audit is passed through from then on, for that name only', async () => {
    w.decide = (request) =>
      request.traffic.kind === 'tls' && !request.canInspect
        ? allow(request, {enforced: false, wouldDeny: 'unknown', reason: 'Uninspectable'})
        : usual(request);
    await reject();
    expect(w.tunnels).toHaveLength(0);
    const raw = await w.raw();
    tlsConnect({socket: raw, servername: 'pinned.test', ca: []}).on('error', () => undefined);
    await settled(() => w.tunnels.length === 1);
    expect(w.tunnels[0]!.route).toMatchObject({scheme: 'tls', name: 'pinned.test'});
    const other = await w.tls({servername: 'a.test'});
    other.send(GET);
    await other.until((received) => received.endsWith('hello'));
  });

  test('what Audit remembered is nothing once a policy enforces', async () => {
    w.decide = (request) =>
      request.traffic.kind === 'tls' && !request.canInspect ? allow(request, {enforced: false}) : usual(request);
    await reject();
    w.decide = (request) =>
      request.traffic.kind === 'tls' && !request.canInspect ? allow(request, {enforced: true}) : usual(request);
    const client = await w.tls({servername: 'pinned.test'});
    client.send('GET / HTTP/1.1\r\nHost: pinned.test\r\n\r\n');
    await client.until((received) => received.endsWith('hello'));
    expect(w.tunnels).toHaveLength(0);
  });
});

describe('TLS that the rules refuse', () => {
  test('is finished with a leaf, and the answer is seen inside', async () => {
    w.decide = (request) => (request.traffic.kind === 'tls' ? deny(request) : usual(request));
    const client = await w.tls();
    client.send(GET);
    expect(await client.all()).toMatch(/^HTTP\/1\.1 418 [^]*Connection: close[^]*by the test$/);
    expect(w.decisions).toHaveLength(1);
    expect(w.requests).toHaveLength(0);
  });

  test('is reset where the workload does not trust the CA', async () => {
    w.workload = {...POD, trustsCa: false};
    w.decide = (request) => (request.traffic.kind === 'tls' ? deny(request, {inspect: false}) : usual(request));
    await expect(w.tls()).rejects.toThrow();
    expect(w.flows[0]).toMatchObject({status: null, decision: {verdict: 'deny'}});
  });
});

function dripping(socket: Socket): Duplex {
  return new Drip(socket);
}

class Drip extends Duplex {
  readonly #socket;
  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.push(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', () => undefined);
  }
  override _read(): void {
    // Pushed as it comes.
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const drip = (i: number): void => {
      if (i === chunk.length) done();
      else this.#socket.write(chunk.subarray(i, i + 1), () => drip(i + 1));
    };
    drip(0);
  }
}
