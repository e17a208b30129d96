/** Everything that leaves the mesh through an egress gateway: HTTP, TLS by its name or decrypted, other bytes. */
import {createServer, type Server} from 'node:net';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {ECHO_PORT} from '../envoy/sites.ts';
import {say} from '../envoy/talk.ts';
import {listenIn} from '../lab/index.ts';
import {CLOSED, EVIL, intentOf, REFUSED, REGISTRY, SCENARIO, SITE} from './gateway-scenario.ts';
import {gatewayWorld, type GatewayWorld, type RunningGateway} from './gateway-world.ts';
import {fromIntent} from './generated.ts';
import {meshTest} from './require.ts';
import {identity} from './world.ts';

const BANNER_PORT = 2525;

describe('an egress gateway', () => {
  const it = meshTest('openssl');
  const servers: Server[] = [];
  let banners = 0;
  let world: GatewayWorld;
  beforeAll(async () => {
    world = await gatewayWorld(SCENARIO);
    const server = createServer((socket) => {
      banners++;
      socket.on('error', () => undefined).write('220 who is there\r\n');
    });
    await listenIn(world.lab.internet.path, server, EVIL, BANNER_PORT);
    servers.push(server);
  }, 120_000);
  afterAll(async () => {
    await world?.close();
    for (const server of servers) server.close();
  }, 60_000);

  const to = (name: string, ip: string, port: number): readonly string[] => [
    '--connect-to',
    `${name}:${port}:${ip}:${port}`,
  ];
  const talk = (ip: string, port: number, text: string): Promise<string> => say(world.lab, {ip, port}, text);
  const WORLDS = [
    ['RegistryOnly', 'no service is on those ports', []],
    ['AllowAny', 'services are on those ports too', [REGISTRY]],
  ] as const;

  describe.each(WORLDS)('%s, where %s', (mode, _what, registry) => {
    const generated = fromIntent(intentOf(mode));
    let mesh: RunningGateway;
    beforeAll(async () => {
      mesh = await world.start([...registry, generated.yaml], generated.settings);
    }, 120_000);
    afterAll(() => mesh?.stop(), 60_000);

    it('no object names a site', () => {
      expect(generated.yaml).not.toContain('site.test');
    });

    it('http is decided by its Host and path', async () => {
      expect(await world.tried('http://site.test/public/a')).toMatchObject({answer: [200, 'site.test GET /public/a']});
      expect(await world.tried('http://site.test/private')).toMatchObject(REFUSED);
      expect(await world.tried('http://evil.test/public/a')).toMatchObject(REFUSED);
    }, 60_000);

    it('https is decrypted and decided by its path, on any port', async () => {
      for (const port of [443, 8443]) {
        expect(await world.tried(`https://site.test:${port}/public/a`)).toMatchObject({
          answer: [200, 'site.test GET /public/a'],
        });
        expect(await world.tried(`https://site.test:${port}/private`)).toMatchObject(REFUSED);
        expect(await world.tried(`https://evil.test:${port}/public/a`)).toMatchObject(REFUSED);
      }
    }, 60_000);

    it('the gateway verifies the server', async () => {
      expect(await world.tried('https://wrong.test/public/a')).toMatchObject({
        answer: [503, expect.anything()],
        reached: [],
      });
    }, 60_000);

    it('what is excepted is carried unread, by its SNI', async () => {
      expect(await world.tried('--cacert', world.ca.bundle, 'https://sealed.test/x')).toMatchObject({
        answer: [200, 'sealed.test GET /x'],
      });
      expect(await world.tried('https://www.sealed.test/x')).toMatchObject(CLOSED);
    }, 60_000);

    it('who lies about Host, SNI or address gets to no other place', async () => {
      // The gateway dials what was decided, not what the client had looked up.
      for (const [port, url] of [
        [80, 'http://site.test/public/a'],
        [443, 'https://site.test/public/a'],
      ] as const)
        expect(await world.tried(...to('site.test', EVIL, port), url)).toMatchObject({reached: ['site.test/public/a']});
      expect(await world.tried(...to('sealed.test', EVIL, 443), 'https://sealed.test/x')).toMatchObject({
        reached: ['sealed.test/x'],
      });
      expect(world.connected).not.toContain('evil.test');
      expect(await world.tried('-H', 'Host: evil.test', 'https://site.test/public/a')).toMatchObject({
        answer: [421, expect.anything()],
        connected: [],
      });
      expect(await world.tried('-H', 'Host: site.test', 'https://evil.test/public/a')).toMatchObject({
        answer: [421, expect.anything()],
        connected: [],
      });
      expect(await world.tried('-k', `https://${SITE}/public/a`)).toMatchObject(CLOSED);
    }, 60_000);

    it('headers that Envoy itself understands, and identities that a client writes, do not count', async () => {
      const steering = [
        ...['-H', `x-envoy-original-dst-host: ${EVIL}:80`, '-H', 'x-envoy-original-path: /public/a'],
        ...['-H', `x-forwarded-client-cert: URI=${identity('app', 'web')}`, '-H', 'sallyport-principal: x'],
      ];
      expect(await world.tried(...steering, 'http://site.test/private')).toMatchObject(REFUSED);
      await world.tried(...steering, 'http://site.test/public/steered');
      expect(world.arrived.at(-1)).toMatchObject({site: 'site.test', path: '/public/steered'});
      expect(world.connected).not.toContain('evil.test');
    }, 60_000);

    it('nothing of the mesh is told to the site', async () => {
      for (const scheme of ['http', 'https']) {
        await world.tried(`${scheme}://site.test/public/told`);
        const {headers} = world.arrived.at(-1)!;
        expect(Object.keys(headers).filter((name) => /^x-envoy|client-cert|forwarded/.test(name))).toEqual([]);
      }
    }, 60_000);

    it('other bytes pass by address and port; who is refused is not dialled', async () => {
      expect(await talk(SITE, ECHO_PORT, 'SSH-2.0-client\r\n')).toBe('SSH-2.0-client\r\n');
      expect(await talk(EVIL, ECHO_PORT, 'SSH-2.0-client\r\n')).toBe('');
      expect(await talk(EVIL, BANNER_PORT, 'EHLO\r\n')).toBe('');
      expect([banners, world.connected.includes('evil.test')]).toEqual([0, false]);
    }, 60_000);

    it('the access log of the gateway says policy, rule and reason', async () => {
      await world.tried('https://site.test/public/logged');
      await world.tried('https://site.test/private/logged');
      await world.tried('https://www.sealed.test/');
      expect(await mesh.gateway.logged(({path}) => path === '/public/logged')).toMatchObject({
        sni: 'site.test',
        request: {verdict: 'allow', reason: 'RuleAllowed', policy: 'app/web', rule: 'pages'},
      });
      expect(await mesh.gateway.logged(({path}) => path === '/private/logged')).toMatchObject({
        response_code: 418,
        upstream_host: null,
        request: {verdict: 'deny', reason: 'NoRuleMatched'},
      });
      expect(
        await mesh.gateway.logged(({sni, response_flags: flags}) => sni === 'www.sealed.test' && flags === 'UAEX'),
      ).toMatchObject({connection: {verdict: 'deny', reason: 'NoRuleMatched'}, upstream_host: null});
    }, 60_000);

    it('no sidecar is given what certificates are fetched by', async () => {
      const listeners = '/config_dump?resource=dynamic_listeners';
      expect(await mesh.sidecar.admin(listeners)).not.toContain('on_demand_secret');
      expect(await mesh.gateway.admin(listeners)).toContain('on_demand_secret');
    }, 60_000);
  });
});
