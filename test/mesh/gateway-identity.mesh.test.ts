/** Whose connection it is that comes to the egress gateway, and who gets around it. */
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {CLOSED, EVIL, intentOf, LITERAL, SCENARIO, SITE} from './gateway-scenario.ts';
import {GATEWAY, gatewayWorld, type GatewayWorld, type RunningGateway} from './gateway-world.ts';
import {fromIntent} from './generated.ts';
import {enforce} from './network-policy.ts';
import {meshTest} from './require.ts';
import {EXTAUTHZ, identity, RESOLVER} from './world.ts';

const GATEWAY_PORT = 15443;

describe('whose connection it is, at an egress gateway', () => {
  const it = meshTest('openssl');
  const generated = fromIntent(intentOf('RegistryOnly'));
  let mesh: RunningGateway;
  let world: GatewayWorld;
  beforeAll(async () => {
    world = await gatewayWorld(SCENARIO);
    mesh = await world.start([generated.yaml], generated.settings);
  }, 120_000);
  afterAll(async () => {
    await mesh?.stop();
    await world?.close();
  }, 60_000);

  type How = 'in a tunnel' | 'by itself';
  const HOWS: readonly How[] = ['in a tunnel', 'by itself'];
  const to = (how: How, target: string): readonly string[] =>
    how === 'by itself' ? ['-H', `x-sallyport-dialled: ${target}`] : [];
  interface Ask {
    /** Where it says that it dialled. */
    readonly target?: string;
    readonly host?: string;
    readonly more?: readonly string[];
  }
  /** A program that goes around its sidecar and speaks to the gateway itself, with a certificate of the mesh that it has. */
  const asked = (
    pod: string,
    who: string | null,
    how: How,
    {target = `${SITE}:80`, host = 'site.test', more = []}: Ask = {},
  ) => {
    const at = `https://${world.gatewayPod.ip4}:${GATEWAY_PORT}`;
    const headers = ['-H', `Host: ${host}`, ...to(how, target), ...more];
    const shown = (prefix?: 'proxy-') => (who === null ? [] : world.showing(who, prefix));
    const [tunnelled, direct] = [
      ['-x', at, '--proxy-insecure', ...shown('proxy-'), '-p'],
      ['-k', ...shown()],
    ];
    return how === 'by itself'
      ? world.triedAround(pod, ...direct, ...headers, `${at}/public/a`)
      : world.triedAround(pod, ...tunnelled, ...headers, `http://${target}/public/a`);
  };
  const WEB = identity('app', 'web');
  const REACHED = {answer: [200, 'site.test GET /public/a'], reached: ['site.test/public/a']};

  it.each(HOWS)(
    '%s: the identity that the gateway verified is judged, with the pod’s address',
    async (how) => {
      expect(await asked('app', WEB, how)).toMatchObject(REACHED);
      // A pod that the workload table does not have yet: its account is known by its certificate.
      expect(await asked('late', WEB, how)).toMatchObject(REACHED);
      expect(await asked('late', identity('other', 'job'), how)).toMatchObject({reached: []});
      expect(await asked('other', identity('other', 'job'), how)).toMatchObject({reached: []});
      // A certificate that is not of the pod with that address: one of the two is stolen.
      expect(await asked('other', WEB, how)).toMatchObject({
        answer: [403, expect.stringContaining('IdentityConflict')],
        reached: [],
      });
    },
    60_000,
  );

  it.each(HOWS)(
    '%s: an identity that the client writes itself does not count',
    async (how) => {
      const more = ['-H', `x-forwarded-client-cert: By=x;URI=${WEB}`, '-H', `sallyport-principal: ${WEB}`];
      expect(await asked('late', identity('other', 'job'), how, {more})).toMatchObject({reached: []});
    },
    60_000,
  );

  it.each([
    ['without a certificate', null],
    ['with one of another trust domain', 'spiffe://elsewhere/ns/app/sa/web'],
  ])(
    '%s nobody gets in',
    async (_what, who) => {
      for (const how of HOWS) expect(await asked('app', who, how)).toMatchObject(CLOSED);
    },
    60_000,
  );

  it.each(['evil.test', '127.0.0.1:15000', `${EVIL}:22`])(
    'who lies to the gateway about where it dialled, %s, gets nowhere but to where its Host may',
    async (target) => {
      for (const how of HOWS) {
        await asked('app', WEB, how, {target});
        expect(world.connected).not.toContain('evil.test');
        expect(await asked('app', WEB, how, {target, host: 'evil.test'})).toMatchObject({
          reached: [],
          connected: [],
        });
      }
    },
    60_000,
  );

  it.each(HOWS)(
    '%s: an address that a rule of cidrs alone has leads to that address, whatever is claimed; another leads nowhere',
    async (how) => {
      const claimed = (ip: string) => asked('app', WEB, how, {target: `${ip}:80`, host: 'evil.test'});
      expect(await claimed(LITERAL)).toMatchObject({reached: ['literal.test/public/a'], connected: ['literal.test']});
      expect(await claimed(EVIL)).toMatchObject({reached: [], connected: []});
    },
    60_000,
  );

  it('a request that does not say where it was to go is refused', async () => {
    for (const at of ['', 'site.test:80', SITE])
      expect(await asked('app', WEB, 'by itself', {target: at})).toMatchObject({
        answer: [400, expect.stringContaining('MalformedRequest')],
        connected: [],
      });
  }, 60_000);

  it('while extauthz is away nothing passes', async () => {
    world.extauthz.kill('SIGSTOP');
    try {
      expect(await world.tried('http://site.test/public/a')).toMatchObject({answer: [503, ''], connected: []});
      expect(await world.tried('https://sealed.test/x')).toMatchObject(CLOSED);
    } finally {
      world.extauthz.kill('SIGCONT');
    }
    expect(await world.tried('http://site.test/public/back')).toMatchObject({reached: ['site.test/public/back']});
  }, 60_000);

  it('a program that goes around the sidecar gets out, but for the NetworkPolicy', async () => {
    expect(await world.triedAround('app', 'http://evil.test/around')).toMatchObject({reached: ['evil.test/around']});
    world.connected.length = 0;
    const policy = generated.objects.find(({object}) => object.kind === 'NetworkPolicy')!.object;
    const free = await enforce(world.lab, policy, world.app, [
      {ip: world.gatewayPod.ip4, ...GATEWAY},
      {ip: RESOLVER, namespace: 'kube-system', labels: {'k8s-app': 'kube-dns'}},
      {ip: world.lab.node.ips[0]!, namespace: EXTAUTHZ.namespace, labels: {}},
    ]);
    try {
      for (const url of ['http://evil.test/around', 'https://evil.test/around'])
        expect(await world.triedAround('app', '--connect-timeout', '2', url)).toMatchObject(CLOSED);
      expect(await world.tried('https://site.test/public/a')).toMatchObject({reached: ['site.test/public/a']});
    } finally {
      await free();
    }
  }, 60_000);
});
