/** How a program would leave through its sidecar unasked: by what is sniffed, by ports that a service opens, by forms of HTTP. */
import {readFileSync} from 'node:fs';
import {createServer, type Server} from 'node:net';
import {connect as connectTls} from 'node:tls';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {parse, stringify} from 'yaml';
import {ECHO_PORT} from '../envoy/sites.ts';
import {say} from '../envoy/talk.ts';
import {connectIn, listenIn, udpIn} from '../lab/index.ts';
import {until} from '../waiting.ts';
import {fromIntent} from './generated.ts';
import {enforce} from './network-policy.ts';
import {meshTest} from './require.ts';
import {meshWorld, RESOLVER, TIMEOUT_MS, type MeshWorld, type RunningMesh} from './world.ts';

const KNOWN = '5.6.40.1';
const EVIL = '5.6.40.9';
/** Where HBONE is spoken in an ambient mesh. */
const HBONE_PORT = 15008;
const TLS_PORT = 8443;
const UDP_PORT = 4433;
const SAMPLE = new URL('../../samples/istio/registry-only/network-policy.yaml', import.meta.url);

/** Under AllowAny what nobody is asked about gets out, whatever it is. */
const INTENT = stringify({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'MeshEgress',
  metadata: {name: 'default'},
  spec: {
    outboundTrafficPolicy: 'AllowAny',
    extauthz: {timeoutMs: TIMEOUT_MS},
    enforcement: [{at: 'Sidecar', namespace: 'app'}],
  },
});
const entry = (name: string, hosts: readonly string[], ports: readonly object[], resolution = 'NONE'): string =>
  stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: {name, namespace: 'app'},
    spec: {hosts, location: 'MESH_EXTERNAL', resolution, ports},
  });
const REGISTRY = [
  entry('known', ['known.test'], [{number: 80, name: 'http', protocol: 'HTTP'}], 'DNS'),
  // Without a protocol Istio looks at the first bytes.
  entry('sniffed', ['sniffed.test'], [{number: ECHO_PORT, name: 'any'}]),
  // Without addresses it is for this port of everybody, as a headless Service may be.
  entry('opened', ['opened.test'], [{number: TLS_PORT, name: 'tcp', protocol: 'TCP'}]),
  entry('hbone', ['tunnel.test'], [{number: HBONE_PORT, name: 'tcp', protocol: 'TCP'}]),
];
const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'app'},
  spec: {
    podSelector: {},
    rules: [
      {
        name: 'pages',
        to: {hosts: ['known.test'], schemes: ['http'], ports: [80, ECHO_PORT]},
        http: {paths: ['/public/**']},
      },
      {name: 'names', to: {hosts: ['known.test'], schemes: ['tls'], ports: [443, TLS_PORT, ECHO_PORT]}},
    ],
    deny: {status: 418},
  },
};
const get = (host: string, path = '/public/a'): string => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

describe('past a sidecar that asks', () => {
  const it = meshTest();
  const servers: Server[] = [];
  let world: MeshWorld;
  let mesh: RunningMesh;
  beforeAll(async () => {
    world = await meshWorld({
      policies: [POLICY],
      sites: [
        {name: 'known.test', ip: KNOWN},
        {name: 'evil.test', ip: EVIL},
      ],
      async prepare(lab) {
        const server = createServer((socket) => {
          world.connected.push('evil.test');
          socket.on('error', () => undefined).pipe(socket);
        });
        await listenIn(lab.internet.path, server, EVIL, HBONE_PORT);
        servers.push(server);
      },
    });
    const {yaml, settings} = fromIntent(INTENT);
    mesh = await world.mesh([...REGISTRY, yaml], settings);
  }, 120_000);
  afterAll(async () => {
    await mesh.stop();
    for (const server of servers) server.close();
    await world.close();
  }, 60_000);

  const talk = (ip: string, port: number, text: string): Promise<string> => say(world.lab, {ip, port}, text);
  /** Whether the sites were connected to meanwhile. */
  const dialling = async (what: () => Promise<unknown>): Promise<readonly string[]> => {
    const {length} = world.connected;
    await what();
    return world.connected.slice(length);
  };
  /** A ClientHello to there, and then whatever happens until the connection is closed. */
  const hello = (ip: string, port: number, servername: string): Promise<void> =>
    new Promise((resolve) => {
      const socket = connectIn(world.lab.pod('app').path, {ip, port});
      const tls = connectTls({socket, servername, rejectUnauthorized: false});
      const done = (): void => {
        socket.destroy();
        resolve();
      };
      // An echo is no TLS server: its answer is an error here.
      tls.on('error', done).on('close', done).on('secureConnect', done);
    });

  describe('on a port whose protocol is guessed from the first bytes', () => {
    it('HTTP is asked about as HTTP', async () => {
      expect(await dialling(() => talk(KNOWN, ECHO_PORT, get('known.test')))).toEqual(['known.test']);
      expect(await talk(KNOWN, ECHO_PORT, get('known.test', '/private'))).toMatch(/^HTTP\/1\.1 418 /);
      expect(await talk(EVIL, ECHO_PORT, get('evil.test'))).toMatch(/^HTTP\/1\.1 418 /);
      expect(await talk(EVIL, ECHO_PORT, get('known.test'))).toMatch(/^HTTP\/1\.1 421 /);
    }, 60_000);

    it('TLS is asked about by its name, and the name’s address', async () => {
      expect(await dialling(() => hello(KNOWN, ECHO_PORT, 'known.test'))).toEqual(['known.test']);
      expect(await dialling(() => hello(KNOWN, ECHO_PORT, 'evil.test'))).toEqual([]);
      expect(await dialling(() => hello(EVIL, ECHO_PORT, 'known.test'))).toEqual([]);
    }, 60_000);

    it('bytes that are neither are sent to nobody', async () => {
      for (const ip of [KNOWN, EVIL])
        expect(await dialling(() => talk(ip, ECHO_PORT, 'SSH-2.0-client\r\n'))).toEqual([]);
    }, 60_000);

    it('what comes byte by byte is no other request for that', async () => {
      const text = get('evil.test');
      const said = await new Promise<string>((resolve) => {
        const socket = connectIn(world.lab.pod('app').path, {ip: EVIL, port: ECHO_PORT});
        socket.setNoDelay(true);
        let at = 0;
        const next = (): void => {
          if (at < text.length && !socket.destroyed) socket.write(text[at++]!, () => setImmediate(next));
        };
        socket.on('data', (chunk: Buffer) => {
          socket.destroy();
          resolve(chunk.toString());
        });
        socket.on('error', () => resolve('')).on('end', () => resolve(''));
        next();
      });
      expect(said).toMatch(/^(HTTP\/1\.1 4\d\d |$)/);
      expect(world.connected).not.toContain('evil.test');
    }, 60_000);

    it('half of a ClientHello is sent to nobody', async () => {
      const half = Buffer.from('16030102000100', 'hex');
      const dialled = await dialling(
        () =>
          new Promise<void>((resolve) => {
            const socket = connectIn(world.lab.pod('app').path, {ip: EVIL, port: ECHO_PORT});
            socket.on('error', () => resolve()).on('close', () => resolve());
            socket.resume();
            socket.end(half);
          }),
      );
      expect(dialled).toEqual([]);
    }, 60_000);
  });

  it('a service without addresses opens its port to nobody that no rule allows', async () => {
    expect(await dialling(() => hello(KNOWN, TLS_PORT, 'known.test'))).toEqual(['known.test']);
    expect(await dialling(() => hello(EVIL, TLS_PORT, 'evil.test'))).toEqual([]);
    expect(await dialling(() => hello(EVIL, TLS_PORT, 'known.test'))).toEqual([]);
    expect(await dialling(() => talk(EVIL, TLS_PORT, 'EHLO\r\n'))).toEqual([]);
  }, 60_000);

  it('the port of HBONE is a port as any other', async () => {
    expect(await dialling(() => hello(EVIL, HBONE_PORT, 'known.test'))).toEqual([]);
    expect(await dialling(() => talk(EVIL, HBONE_PORT, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))).toEqual([]);
  }, 60_000);

  it.each([
    ['HTTP/2 at once', '--http2-prior-knowledge'],
    ['HTTP/2 by an upgrade', '--http2'],
  ])(
    '%s is asked about request by request',
    async (_what, flag) => {
      expect(await world.tried(flag, 'http://known.test/public/a')).toMatchObject({reached: ['known.test/public/a']});
      expect(await world.tried(flag, 'http://known.test/private')).toMatchObject({answer: [418, expect.anything()]});
      expect(await world.tried(flag, 'http://evil.test/public/a')).toMatchObject({connected: []});
      expect(
        await world.tried(flag, '--connect-to', `known.test:80:${EVIL}:80`, 'http://known.test/public/a'),
      ).toMatchObject({connected: []});
    },
    60_000,
  );

  it.each([
    [
      'the host of a URL counts, not the field',
      ['--request-target', 'http://evil.test/public/a', 'http://known.test/'],
      [],
    ],
    ['a host with the port', ['-H', 'Host: known.test:80', 'http://known.test/public/a'], ['known.test/public/a']],
    [
      'a host in capitals, with its last dot',
      ['-H', 'Host: KNOWN.test.', 'http://known.test/public/a'],
      ['known.test/public/a'],
    ],
    ['another host with the port', ['-H', 'Host: evil.test:80', 'http://known.test/public/a'], []],
    ['a host with what is no port', ['-H', 'Host: known.test:80@evil.test', 'http://known.test/public/a'], []],
    ['an address for a host', ['-H', `Host: ${EVIL}`, `http://${EVIL}/public/a`], []],
    ['no host', ['--http1.0', '-H', 'Host:', `http://${EVIL}/public/a`], []],
    [
      'a WebSocket of a path that is not allowed',
      ['-H', 'Connection: Upgrade', '-H', 'Upgrade: websocket', 'http://known.test/private'],
      [],
    ],
  ] as const)(
    '%s',
    async (_what, args, reached) => {
      const tried = await world.tried(...args);
      expect(tried.reached).toEqual(reached);
      // Of what is refused nobody hears: what was allowed may have come on a connection that was there.
      if (reached.length === 0) expect(tried.connected).toEqual([]);
    },
    60_000,
  );

  it('two hosts are none', async () => {
    const fields = 'Host: known.test\r\nHost: evil.test\r\n';
    for (const ip of [KNOWN, EVIL])
      expect(await talk(ip, 80, `GET /public/two HTTP/1.1\r\n${fields}\r\n`)).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(world.arrived.filter(({path}) => path === '/public/two')).toEqual([]);
  }, 60_000);

  it.each(['evil.test:443', 'known.test:443', `${EVIL}:80`])(
    'a CONNECT for %s makes no tunnel',
    async (authority) => {
      const asked = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`;
      for (const ip of [KNOWN, EVIL]) {
        expect(await talk(ip, 80, asked)).toMatch(/^HTTP\/1\.1 4\d\d /);
        expect(await talk(ip, ECHO_PORT, asked)).not.toMatch(/^HTTP\/1\.1 2/);
      }
      expect(world.connected).not.toContain('evil.test');
    },
    60_000,
  );

  it('an address of the mesh’s own, as sidecars that answer DNS give, is none of the name’s', async () => {
    expect(
      await world.tried('--connect-to', 'known.test:80:240.240.0.1:80', 'http://known.test/public/a'),
    ).toMatchObject({answer: [421, expect.stringContaining('HostMismatch')], connected: []});
  }, 60_000);

  it('the sidecar’s own ports lead nowhere', async () => {
    const own = world.lab.pod('app').ips;
    for (const ip of ['127.0.0.1', ...own.filter((one) => !one.includes(':'))])
      for (const port of [15001, 15006]) {
        await talk(ip, port, get('evil.test'));
        expect(await dialling(() => hello(ip, port, 'evil.test'))).toEqual([]);
      }
    expect(world.connected).not.toContain('evil.test');
  }, 60_000);

  it('UDP is not asked about, which the sample’s NetworkPolicy closes', async () => {
    const {lab} = world;
    const heard: string[] = [];
    const there = await udpIn(lab.internet.path, EVIL, UDP_PORT);
    const asking = await udpIn(lab.pod('app').path, lab.pod('app').ip4, 0);
    const answers: string[] = [];
    there.on('message', (text, from) => {
      heard.push(text.toString());
      there.send(text, from.port, from.address);
    });
    asking.on('message', (text) => answers.push(text.toString()));
    try {
      // What is lost is sent again.
      const sent = async (text: string): Promise<void> => {
        await until(
          () => {
            asking.send(text, UDP_PORT, EVIL);
            return answers;
          },
          (all) => all.includes(text),
        );
      };
      await sent('unasked');
      const policy = parse(readFileSync(SAMPLE, 'utf8')) as {spec: Readonly<Record<string, unknown>>};
      const free = await enforce(lab, policy, lab.pod('app'), [
        {ip: RESOLVER, namespace: 'kube-system', labels: {'k8s-app': 'kube-dns'}},
      ]);
      try {
        const closed = await udpIn(lab.pod('app').path, lab.pod('app').ip4, 0);
        closed.send('held', UDP_PORT, EVIL);
        // Names are looked up, and TCP goes to the sidecar as before; what was sent before that would be there too.
        expect(await world.tried('http://known.test/public/udp')).toMatchObject({reached: ['known.test/public/udp']});
        closed.close();
      } finally {
        await free();
      }
      await sent('unasked again');
      expect(heard).not.toContain('held');
    } finally {
      there.close();
      asking.close();
    }
  }, 60_000);
});
