/** The proof of capture: who gets it, who does not, and that nothing comes through it. */
import {afterEach, describe, expect, test} from '@jest/globals';
import {parseProof} from '../../runtime/capture-proof.ts';
import {PROOF} from '../../runtime/names.ts';
import {POD, usual, world, type World} from './testing/harness.ts';
import {isProofAddress} from './proof.ts';

let w: World;
afterEach(() => w.close());

const GET = `GET /proof HTTP/1.1\r\nHost: ${PROOF.name}\r\n\r\n`;
const bodyOf = (answer: string): string => answer.slice(answer.indexOf('\r\n\r\n') + 4);
/** TLS as the guard speaks it. */
const asGuard = {servername: PROOF.name, minVersion: 'TLSv1.3', ALPNProtocols: []} as const;

describe.each([PROOF.ip4, PROOF.ip6])('a captured pod that dials %s', (ip) => {
  test.each([443, 1, 8080])('on port %i is told whom the proxy takes it for', async (port) => {
    w = await world({ip, port});
    const answer = await (await w.tls(asGuard)).send(GET).all();
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(parseProof(bodyOf(answer))).toEqual({
      pod: {namespace: POD.namespace, name: POD.name, uid: POD.uid},
      node: 'node-1',
      hold: 'locked',
      version: '1.2.3',
    });
  });

  test('no policy is asked, nothing is dialled, and no decision is written down', async () => {
    w = await world({ip});
    w.decide = () => {
      throw new Error('a policy was asked');
    };
    await (await w.tls(asGuard)).send(GET).all();
    expect([w.decisions, w.flows, w.requests, w.tunnels]).toEqual([[], [], [], []]);
    expect(w.counted).toContain('proof.given');
  });

  test('and is not known is refused like anywhere', async () => {
    w = await world({ip});
    w.workload = 'unknown';
    const asked: string[] = [];
    w.decide = (request) => {
      asked.push(request.traffic.kind);
      return usual(request);
    };
    await expect(w.tls(asGuard)).rejects.toThrow();
    expect(asked).toContain('tls');
    expect(w.counted).not.toContain('proof.given');
  });
});

describe('at the proof’s address', () => {
  test('whatever the client claims to want, the leaf is for the one name', async () => {
    w = await world({ip: PROOF.ip4});
    await expect(w.tls({servername: 'a.test'})).rejects.toThrow(
      /does not match certificate's altnames.*guard\.sallyport/,
    );
  });

  test.each([
    ['another path', GET.replace('/proof', '/metrics'), '404'],
    ['another method', GET.replace('GET', 'POST'), '404'],
    ['an absolute target', GET.replace('/proof', 'http://a.test/proof'), '404'],
    ['CONNECT', 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n', '404'],
  ])('%s is not found, and the connection ends', async (_title, request, status) => {
    w = await world({ip: PROOF.ip4});
    const answer = await (await w.tls(asGuard)).send(request).all();
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect([w.requests, w.tunnels]).toEqual([[], []]);
  });

  test('what follows the request is thrown away: there is one answer a connection', async () => {
    w = await world({ip: PROOF.ip4});
    const answer = await (await w.tls(asGuard)).send(GET + GET + 'x'.repeat(100_000)).all();
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  test('a request that does not end is cut', async () => {
    w = await world({ip: PROOF.ip4});
    const client = await w.tls(asGuard);
    client.send('GET /proof HTTP/1.1\r\nX: ' + 'x'.repeat(10_000));
    expect(await client.all()).toBe('');
  });

  test('plain HTTP has no answer: only a signature proves anything', async () => {
    w = await world({ip: PROOF.ip4});
    const client = await w.plain();
    expect(await client.send(GET).all()).not.toMatch(/200/);
  });

  test('a client that says nothing is cut in time', async () => {
    w = await world({ip: PROOF.ip4, limits: {headTimeoutMs: 20}});
    expect(await (await w.plain()).all()).toBe('');
    expect(w.counted).toContain('timeout');
  });

  test('a workload with too many connections gets no proof either', async () => {
    w = await world({ip: PROOF.ip4, limits: {connectionsPerWorkload: 0, answeredAboveLimit: 0}});
    await expect(w.tls(asGuard)).rejects.toThrow();
  });
});

describe('elsewhere there is no proof', () => {
  test.each([PROOF.name, PROOF.name.toUpperCase(), `${PROOF.name}.`])(
    'TLS to %s at another address is ended: no leaf for that name is shown there',
    async (servername) => {
      w = await world();
      await expect(w.tls({servername, checkServerIdentity: () => undefined})).rejects.toThrow();
      expect(w.decisions.at(-1)?.decision.reason).toBe('MalformedRequest');
    },
  );

  test('the explicit port gives none: CONNECT to the address is a destination like any', async () => {
    w = await world();
    const asked: (string | null)[] = [];
    w.decide = (request) => {
      asked.push(request.destination.ip);
      return usual(request);
    };
    const client = await w.plain('explicit');
    await client
      .send(`CONNECT ${PROOF.ip4}:443 HTTP/1.1\r\nHost: ${PROOF.ip4}:443\r\n\r\n`)
      .until((text) => text.includes('\r\n\r\n'))
      .catch(() => '');
    expect(asked.length).toBeGreaterThan(0);
    expect(w.counted).not.toContain('proof.given');
  });

  test.each(['192.0.2.150', '192.0.2.15', '2001:db8::151', '::ffff:192.0.2.151', ''])('%s is not its address', (ip) => {
    w = {close: async () => undefined} as World;
    expect(isProofAddress(ip)).toBe(false);
  });
});
