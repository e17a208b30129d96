/** Each thing that is generated for an egress gateway is taken away in turn, and is missed. */
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import type {Generated} from '../../mesh-config/objects.ts';
import {yamlOf} from '../../mesh-config/yaml.ts';
import {ECHO_PORT} from '../envoy/sites.ts';
import {say} from '../envoy/talk.ts';
import {ablations} from './ablate.ts';
import {EVIL, intentOf, REGISTRY, SCENARIO, SITE} from './gateway-scenario.ts';
import {gatewayWorld, type GatewayWorld, type RunningGateway} from './gateway-world.ts';
import {fromIntent} from './generated.ts';
import {meshTest} from './require.ts';

describe('each thing that is generated for an egress gateway is missed', () => {
  const it = meshTest('openssl');
  let world: GatewayWorld;
  beforeAll(async () => {
    world = await gatewayWorld(SCENARIO);
  }, 120_000);
  afterAll(async () => {
    await world?.close();
  }, 60_000);

  const talk = (ip: string, port: number, text: string): Promise<string> => say(world.lab, {ip, port}, text);
  const MODES = ['AllowAny', 'RegistryOnly'] as const;
  const generated = MODES.map((mode) => fromIntent(intentOf(mode)));
  // What a NetworkPolicy is missed by is above.
  const ofMesh = generated.map(({objects}) => objects.filter(({object}) => object.kind !== 'NetworkPolicy'));

  /** The first of these that does not go as it should; null where all do. */
  const broken = async (): Promise<string | null> => {
    const reaches = async (...args: readonly string[]): Promise<boolean> =>
      (await world.tried(...args)).reached.length > 0;
    if (!(await reaches('http://site.test/public/a'))) return 'an allowed request';
    if (await reaches('http://evil.test/public/a')) return 'a refused request';
    if (!(await reaches('https://site.test/public/a'))) return 'an allowed request inside TLS';
    if (await reaches('https://site.test/private')) return 'a refused request inside TLS';
    if (!(await reaches('https://site.test:8443/public/a'))) return 'a port that no service has';
    if (await reaches('https://evil.test:8443/public/a')) return 'a refused request on a port that no service has';
    await world.tried('-H', 'Host: site.test', 'https://site.test:8443/public/port');
    if (world.arrived.at(-1)?.port !== 8443) return 'the port that the client dialled';
    if (!(await reaches('http://site.test/public/a', '--connect-to', `site.test:80:${EVIL}:80`)))
      return 'a name, wherever the client dialled';
    if (!(await reaches('https://site.test/public/a', '-H', 'Host: SITE.test.'))) return 'a name as somebody wrote it';
    if (!(await reaches('https://labelled.test/'))) return 'a rule for pods with a label';
    if (!(await reaches('https://sealed.test/x'))) return 'a name that is carried unread';
    return (await talk(SITE, ECHO_PORT, 'SSH-2.0-client\r\n')) === '' ? 'other bytes' : null;
  };
  const running = async (objects: readonly Generated[], mode: number): Promise<string | null> => {
    let started: RunningGateway;
    try {
      started = await world.start([REGISTRY, yamlOf(objects)], generated[mode]!.settings);
    } catch (error) {
      return `it does not start: ${String(error)}`;
    }
    const which = await broken();
    await started.stop();
    return which;
  };

  it.each(MODES)(
    '%s: with all of it every step goes as it should',
    async (mode) => {
      expect(await running(ofMesh[MODES.indexOf(mode)]!, MODES.indexOf(mode))).toBeNull();
    },
    60_000,
  );

  // What is for one mode is not missed in the other.
  const [any, only] = ofMesh.map((objects) => ablations(objects));
  it.each(any!.map(({without, objects}, i) => [without, objects, only![i]!.objects] as const))(
    'without %s one of them fails',
    async (_without, inAny, inOnly) => {
      expect((await running(inAny, 0)) ?? (await running(inOnly, 1))).not.toBeNull();
    },
    60_000,
  );

  it('where the answer names no address nothing is dialled, least of all what the client says that it dialled', async () => {
    const yaml = yamlOf(ofMesh[0]!);
    const changed = yaml.replaceAll(/key: dial$/gm, 'key: absent');
    expect(changed).not.toBe(yaml);
    const started = await world.start([REGISTRY, changed], generated[0]!.settings);
    try {
      for (const url of ['http://site.test/public/a', 'https://site.test/public/a', 'https://sealed.test/x'])
        expect([url, await world.tried(url)]).toMatchObject([url, {reached: [], connected: []}]);
      expect(await talk(SITE, ECHO_PORT, 'SSH-2.0-client\r\n')).toBe('');
    } finally {
      await started.stop();
    }
  }, 60_000);

  const takenAway = (key: string): RegExp => new RegExp(`(${key}\\n(?:.*\\n){2}.*: )"%REQUESTED_SERVER_NAME%"`, 'g');
  it.each([
    ['it is not said that the answer is dialled', 'value: answer', 'value: address'],
    ['what the client dialled is not told', 'sallyport-destination', 'x-nothing'],
    ['the server is asked for Host', takenAway('upstream_server_name'), '$1"%FILTER_STATE(x:PLAIN)%"'],
    ['the server has to show Host', takenAway('upstream_subject_alt_names'), '$1"%FILTER_STATE(x:PLAIN)%"'],
    ['the question has no authority', /^ *authority: .*\n/gm, ''],
    ['the address of the client is not handed on', /^ *- object_key: .*remote_ip\n(?:.*\n){4}/gm, ''],
    ['nothing is handed on to the listener inside', 'shared_with_upstream: ONCE', 'shared_with_upstream: NONE'],
    ['http inside of TLS is taken for plain', 'value: https', 'value: http'],
  ] as const)(
    'where %s one of them fails',
    async (_what, from, to) => {
      const yaml = yamlOf(ofMesh[0]!);
      const changed = yaml.replaceAll(from instanceof RegExp ? from : new RegExp(from, 'g'), to);
      expect(changed).not.toBe(yaml);
      const started = await world.start([REGISTRY, changed], generated[0]!.settings);
      const which = await broken();
      await started.stop();
      expect(which).not.toBeNull();
    },
    60_000,
  );
});
