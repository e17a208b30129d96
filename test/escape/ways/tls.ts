/** Handshakes that are to be read as something else than they are. */
import {once} from 'node:events';
import type {TLSSocket} from 'node:tls';
import type {Attempt, Attacker} from '../attempt.ts';
import {EVIL, SITES} from '../addresses.ts';
import {clientHello, handshake, record} from '../hello.ts';
import {http, say, secured, tlsTo} from '../wire.ts';

const way = (
  id: string,
  title: string,
  attempt: (by: Attacker) => Promise<unknown>,
  more: Partial<Attempt> = {},
): Attempt => ({
  id: `tls-${id}`,
  title,
  invariant: 3,
  attempt: async (by) => void (await attempt(by)),
  control: 'free',
  ...more,
});

/** A hello for a name that no rule holds, whose padding is the token. */
const evil = (by: Attacker): Buffer => handshake({names: ['evil.test'], padding: by.token});

/** The message in records of so many bytes. */
function inRecords(message: Buffer, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) parts.push(record(message.subarray(at, at + size)));
  return Buffer.concat(parts);
}

/** The parts as segments of their own, one after the other. */
async function inSegments(by: Attacker, ip: string, parts: readonly Buffer[]): Promise<void> {
  const socket = by.connect(ip, 443);
  socket.setNoDelay();
  for (const part of parts) {
    if (socket.destroyed) return;
    await new Promise((resolve) => socket.write(part, resolve));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await say(socket);
}

/** The session that the other side gave on a good connection. */
async function sessionOf(by: Attacker, version: 'TLSv1.2' | 'TLSv1.3'): Promise<Buffer | undefined> {
  const tls = await tlsTo(by, SITES.allowed, 'allowed.test', {
    ALPNProtocols: ['http/1.1'],
    minVersion: version,
    maxVersion: version,
  });
  const given = once(tls, 'session') as Promise<[Buffer]>;
  given.catch(() => undefined);
  const asked = say(tls, http('GET /public/a HTTP/1.1', 'Host: allowed.test'));
  const [session] = await Promise.race([given, asked.then((): [undefined] => [undefined])]);
  return session ?? tls.getSession();
}

async function resumed(by: Attacker, version: 'TLSv1.2' | 'TLSv1.3', host: string): Promise<void> {
  const session = await sessionOf(by, version);
  const tls: TLSSocket = await secured(by.connect(EVIL[4], 443), 'evil.test', {
    ALPNProtocols: ['http/1.1'],
    minVersion: version,
    maxVersion: version,
    ...(session === undefined ? {} : {session}),
  });
  await say(tls, http(`GET /public/${by.token} HTTP/1.1`, `Host: ${host}`));
}

/** openssl takes a line "R" of its own for a command, and sends what follows when that has worked. */
const overOpenssl = (by: Attacker, command: string): Promise<unknown> =>
  by.run(
    [
      'sh',
      '-c',
      `(sleep 0.2; echo ${command}; sleep 0.5; printf 'GET /public/${by.token} HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n'; sleep 0.5) |
       openssl s_client -tls1_2 -connect ${SITES.allowed}:443 -servername allowed.test`,
    ],
    {timeoutMs: 4000},
  );

export const TLS: readonly Attempt[] = [
  way('resumed', 'a session of an allowed name resumed under another one', (by) => resumed(by, 'TLSv1.3', 'evil.test')),
  way(
    'resumed-host',
    'a session of an allowed name resumed under another one, its Host inside',
    (by) => resumed(by, 'TLSv1.3', 'allowed.test'),
    {out: (place) => place.includes(EVIL[4])},
  ),
  way('resumed-12', 'the same in TLS 1.2', (by) => resumed(by, 'TLSv1.2', 'evil.test')),
  way('renegotiated', 'a renegotiation between two requests (TLS 1.2)', (by) => overOpenssl(by, 'R'), {
    // No server that is up to date renegotiates: the same without shows that the rest of it works.
    control: {by: 'free', instead: async (by) => void (await overOpenssl(by, ''))},
  }),
  way('early-data', 'early data behind a hello for an allowed name', (by) =>
    say(
      by.connect(SITES.allowed, 443),
      Buffer.concat([
        clientHello({names: ['allowed.test'], earlyData: true}),
        record(Buffer.from(http(`GET /public/${by.token} HTTP/1.1`, 'Host: allowed.test')), 0x17),
      ]),
    ),
  ),
  way('two-records', 'the name cut in two by records', (by) => say(by.connect(EVIL[4], 443), inRecords(evil(by), 60))),
  way(
    'tiny-records',
    'a hello in records of eight bytes',
    (by) => say(by.connect(EVIL[4], 443), inRecords(evil(by), 8)),
    {
      control: {
        by: 'free',
        instead: async (by) => void (await say(by.connect(EVIL[4], 443), inRecords(evil(by), 60))),
      },
    },
  ),
  way('segments', 'a hello in segments of a few bytes', (by) => {
    const hello = record(evil(by));
    const padding = hello.indexOf(by.token);
    const parts = [hello.subarray(padding)];
    for (let to = padding; to > 0; to -= 20) parts.unshift(hello.subarray(Math.max(0, to - 20), to));
    return inSegments(by, EVIL[4], parts);
  }),
  way('slow', 'half a hello, then silence for longer than the server-first wait, then the rest', async (by) => {
    const hello = record(evil(by));
    await say(by.connect(EVIL[4], 443), hello.subarray(0, 40), '', '', '', hello.subarray(40));
  }),
  way('slow-allowed', 'half a hello for an allowed name, then bytes that are no TLS', (by) =>
    say(by.connect(SITES.allowed, 443), clientHello({names: ['allowed.test']}).subarray(0, 60), '', by.token),
  ),
  way('one-byte', 'the first byte of a hello, then opaque bytes', (by) =>
    say(by.connect(SITES.pass, 443), '\x16', '', `${by.token}\r\n`),
  ),
  way('sslv2', 'a hello in the form of SSL 2.0', (by) =>
    say(
      by.connect(SITES.pass, 443),
      Buffer.from(`\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10${by.token}`.padEnd(48, '\0'), 'latin1'),
    ),
  ),
  way('empty-record', 'empty records in front of a hello', (by) =>
    say(by.connect(EVIL[4], 443), Buffer.concat([record(Buffer.alloc(0)), record(Buffer.alloc(0)), record(evil(by))])),
  ),
  way('alert-first', 'an alert in front of a hello', (by) =>
    say(by.connect(EVIL[4], 443), Buffer.concat([record(Buffer.from([1, 0]), 0x15), record(evil(by))])),
  ),
  way('ccs-first', 'a ChangeCipherSpec in front of a hello', (by) =>
    say(by.connect(EVIL[4], 443), Buffer.concat([record(Buffer.from([1]), 0x14), record(evil(by))])),
  ),
  way(
    'two-hellos',
    'two hellos in one record, the first for a name that is passed through',
    (by) =>
      say(
        by.connect(EVIL[4], 443),
        record(
          Buffer.concat([handshake({names: ['pass.test']}), handshake({names: ['evil.test'], padding: by.token})]),
        ),
      ),
    {out: (place) => place.includes(EVIL[4])},
  ),
  way('long-message', 'a hello whose length says more than there is', (by) => {
    const message = evil(by);
    message.writeUIntBE(message.length + 5000, 1, 3);
    return say(by.connect(EVIL[4], 443), record(message), '', by.token);
  }),
  way('long-extensions', 'a hello whose extensions end behind it', (by) => {
    const message = handshake({names: ['pass.test'], padding: by.token});
    message.writeUInt16BE(0xffff, 4 + 2 + 32 + 1 + 2 + 8 + 2);
    return say(by.connect(EVIL[4], 443), record(message));
  }),
  way('huge', 'a hello with more before its name than is read', (by) =>
    say(
      by.connect(EVIL[4], 443),
      inRecords(handshake({padding: `${by.token}${'x'.repeat(60_000)}`, again: ['evil.test']}), 16_000),
    ),
  ),
  ...(['dot', 'acme-tls/1', 'spdy/3.1', 'h2c', 'http/0.9'] as const).map((protocol) =>
    way(
      `alpn-${protocol.replace(/[^a-z0-9]+/g, '-')}`,
      `ALPN ${protocol} to an allowed name, then opaque bytes`,
      async (by) =>
        say(
          await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: [protocol, 'http/1.1']}),
          `\x00\x01${by.token}\r\n`,
        ),
    ),
  ),
  way('no-alpn-opaque', 'no ALPN to an allowed name, then opaque bytes', async (by) =>
    say(await tlsTo(by, SITES.allowed, 'allowed.test'), `\x00\x01${by.token}\r\n`),
  ),
  way('tls-in-tls', 'TLS for another name inside TLS for an allowed one', async (by) =>
    say(await tlsTo(by, SITES.allowed, 'allowed.test', {ALPNProtocols: ['http/1.1']}), record(evil(by))),
  ),
  way('starttls', 'a line of SMTP, then STARTTLS', (by) =>
    say(
      by.connect(SITES.pass, 443),
      `EHLO ${by.token}\r\n`,
      'STARTTLS\r\n',
      clientHello({names: ['pass.test'], padding: by.token}),
    ),
  ),
];
