/** Names that disagree: SNI, Host, :authority, CONNECT, the address. */
import type {Attempt, Attacker} from '../attempt.ts';
import {EVIL, SITES} from '../addresses.ts';
import {h2} from '../h2.ts';
import {clientHello} from '../hello.ts';
import {http, say, tlsTo} from '../wire.ts';

const way = (
  id: string,
  title: string,
  attempt: (by: Attacker) => Promise<unknown>,
  more: Partial<Attempt> = {},
): Attempt => ({
  id: `names-${id}`,
  title,
  invariant: 2,
  attempt: async (by) => void (await attempt(by)),
  control: 'free',
  ...more,
});

/** Whatever arrives, but not where the name says. */
const atEvil = (place: string): boolean => place.includes(EVIL[4]);

const inTls = async (by: Attacker, ip: string, sni: string | null, ...parts: readonly string[]): Promise<string> =>
  say(await tlsTo(by, ip, sni, {ALPNProtocols: ['http/1.1']}), ...parts);

export const NAMES: readonly Attempt[] = [
  way('fronting', 'an allowed SNI, another Host inside (domain fronting)', (by) =>
    inTls(by, SITES.allowed, 'allowed.test', http(`GET /public/${by.token} HTTP/1.1`, 'Host: evil.test')),
  ),
  way('fronting-h2', 'an allowed SNI, another :authority in HTTP/2', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['h2']}),
      h2.open(),
      h2.request(1, [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'evil.test'],
        [':path', `/public/${by.token}`],
      ]),
    ),
  ),
  way('fronting-h2-host', 'an allowed :authority, another host field in HTTP/2', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['h2']}),
      h2.open(),
      h2.request(1, [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'allowed.test'],
        [':path', `/public/${by.token}`],
        ['host', 'evil.test'],
      ]),
    ),
  ),
  way('fronting-second', 'an allowed request, then another Host on the same connection', (by) =>
    inTls(
      by,
      SITES.allowed,
      'allowed.test',
      http('GET /public/a HTTP/1.1', 'Host: allowed.test'),
      http(`GET /public/${by.token} HTTP/1.1`, 'Host: evil.test'),
    ),
  ),
  way('coalesced', 'an allowed request, then another :authority on the same HTTP/2 connection', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['h2']}),
      h2.open(),
      h2.request(1, [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'allowed.test'],
        [':path', '/public/a'],
      ]),
      h2.request(3, [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'evil.test'],
        [':path', `/public/${by.token}`],
      ]),
    ),
  ),
  way('sni-evil', 'an SNI that no rule holds, an allowed Host inside', (by) =>
    inTls(by, EVIL[4], 'evil.test', http(`GET /public/${by.token} HTTP/1.1`, 'Host: allowed.test')),
  ),
  way('sni-port', 'a Host with another port than the connection’s', (by) =>
    inTls(by, SITES.allowed, 'allowed.test', http(`GET /public/${by.token} HTTP/1.1`, 'Host: allowed.test:8443')),
  ),
  way('no-sni', 'no SNI at all, an allowed Host inside', (by) =>
    inTls(by, SITES.allowed, null, http(`GET /public/${by.token} HTTP/1.1`, 'Host: allowed.test')),
  ),
  way('sni-literal', 'an IP literal as SNI', async (by) =>
    say(by.connect(EVIL[4], 443), clientHello({names: [EVIL[4]], padding: by.token})),
  ),
  way('sni-two', 'a ClientHello that names two servers', async (by) =>
    say(by.connect(EVIL[4], 443), clientHello({names: ['pass.test', 'evil.test'], padding: by.token})),
  ),
  way('sni-twice', 'a ClientHello with two server_name extensions', async (by) =>
    say(by.connect(EVIL[4], 443), clientHello({names: ['pass.test'], again: ['evil.test'], padding: by.token})),
  ),
  way('sni-nul', 'an SNI with a NUL behind an allowed name', async (by) =>
    say(by.connect(EVIL[4], 443), clientHello({names: [`pass.test\0${by.token}.evil.test`]})),
  ),
  way(
    'sni-dot',
    'a name in other letters and with a dot, at another address',
    async (by) => say(by.connect(EVIL[4], 443), clientHello({names: ['PASS.test.'], padding: by.token})),
    {out: atEvil},
  ),
  way('ech', 'ECH around an allowed name that is passed through', async (by) =>
    say(by.connect(SITES.pass, 443), clientHello({names: ['pass.test'], ech: by.token})),
  ),
  way('ech-evil', 'ECH with an outer name that no rule holds', async (by) =>
    say(by.connect(EVIL[4], 443), clientHello({names: ['evil.test'], ech: by.token})),
  ),
  way(
    'address',
    'an allowed SNI at an address of one’s own choosing: what is dialled is the name',
    (by) => inTls(by, EVIL[4], 'allowed.test', http(`GET /public/${by.token} HTTP/1.1`, 'Host: allowed.test')),
    {out: atEvil, invariant: 4},
  ),
  way(
    'address-http',
    'an allowed Host at an address of one’s own choosing',
    (by) => say(by.connect(EVIL[4], 80), http(`GET /public/${by.token} HTTP/1.1`, 'Host: plain.test')),
    {out: atEvil, invariant: 4},
  ),
  way(
    'address-pass',
    'a passed-through SNI at an address of one’s own choosing',
    async (by) => say(by.connect(EVIL[4], 443), clientHello({names: ['pass.test'], padding: by.token})),
    {out: atEvil, invariant: 4},
  ),
  way('suffix', 'a name that only begins like an allowed one', (by) =>
    say(by.connect(EVIL[4], 80), http(`GET /public/${by.token} HTTP/1.1`, 'Host: plain.test.evil.test')),
  ),
  way('underscore', 'a name that an allowed one is the end of', (by) =>
    say(by.connect(EVIL[4], 80), http(`GET /public/${by.token} HTTP/1.1`, 'Host: notplain.test')),
  ),
  way('wildcard-itself', 'the suffix of a wildcard itself', (by) =>
    inTls(by, SITES.wild, 'wild.test', http(`GET /${by.token} HTTP/1.1`, 'Host: wild.test')),
  ),
  way('absolute-https', 'an absolute https target on a plain connection', (by) =>
    say(by.connect(SITES.plain, 80), http(`GET https://plain.test/public/${by.token} HTTP/1.1`, 'Host: plain.test')),
  ),
];
