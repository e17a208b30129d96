import {createSocket, type Socket} from 'node:dgram';
import {once} from 'node:events';
import {afterEach, describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {isProhibited, probe} from './probe.ts';
import {icmpError} from './sockets.ts';

const servers: Socket[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});
async function bound(): Promise<{server: Socket; port: number}> {
  const server = createSocket('udp4');
  servers.push(server);
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  return {server, port: server.address().port};
}
const to = (port: number) => ({protocol: 'udp', from: '127.0.0.1', to: {ip: '127.0.0.1', scope: 0, port}}) as const;

describe('on loopback, where everything is open, a datagram', () => {
  test('to a program that answers is answered', async () => {
    const {server, port} = await bound();
    server.on('message', (message, peer) => server.send(message, peer.port, peer.address));
    expect(await probe(to(port), 10_000)).toEqual({kind: 'answered'});
  });

  test('to a program that does not is silent', async () => {
    const {port} = await bound();
    expect(await probe(to(port), 20)).toEqual({kind: 'silent'});
  });

  test('to nobody comes back, and that is no lock', async () => {
    const {server, port} = await bound();
    server.close();
    servers.length = 0;
    expect(await probe(to(port), 10_000)).toEqual({
      kind: 'bounced',
      error: {family: 4, type: 3, code: 3, by: '127.0.0.1'},
    });
  });

  test('from an address that is not our own does not leave', async () => {
    expect(await probe({...to(9), from: '192.0.2.77'}, 1_000)).toEqual({kind: 'kept', code: 'EADDRNOTAVAIL'});
  });
});

test.each<[string, 4 | 6, number, number, boolean]>([
  ['by a filter', 4, 3, 13, true],
  ['the host by a filter (RFC 1812, obsolete there)', 4, 3, 10, false],
  ['no such host', 4, 3, 1, false],
  ['no such port', 4, 3, 3, false],
  ['by a filter', 6, 1, 1, true],
  ['no route', 6, 1, 0, false],
  ['too big', 6, 2, 1, false],
  ['expired', 4, 11, 13, false],
])('ICMP "%s" (IPv%i, type %i, code %i) is a refusal: %s', (_title, family, type, code, refused) => {
  expect(isProhibited({family, type, code, by: null})).toBe(refused);
});

describe('control messages', () => {
  const header = (bytes: number, level: number, type: number): Buffer => {
    const buffer = Buffer.alloc(16);
    buffer.writeUInt32LE(bytes, 0);
    buffer.writeInt32LE(level, 8);
    buffer.writeInt32LE(type, 12);
    return buffer;
  };
  const refused = Buffer.concat([
    header(48, 0, 11),
    Buffer.from('710000000203 0d00 00000000 00000000'.replaceAll(' ', ''), 'hex'),
    Buffer.from('020000000a4e00010000000000000000', 'hex'),
  ]);

  test('are read as the kernel writes them', () => {
    expect(icmpError(refused, 4)).toEqual({family: 4, type: 3, code: 13, by: '10.78.0.1'});
  });
  test('of another kind are passed over', () => {
    const other = Buffer.concat([header(20, 0, 8), Buffer.alloc(8)]);
    expect(icmpError(Buffer.concat([other, refused]), 4)).toMatchObject({code: 13});
    expect(icmpError(refused, 6)).toBeNull();
  });
  test("of this machine's own errors are no ICMP", () => {
    const local = Buffer.from(refused);
    local[20] = 1;
    expect(icmpError(local, 4)).toBeNull();
  });
  test('of any bytes end', () => {
    fc.assert(fc.property(fc.uint8Array({maxLength: 200}), (bytes) => void icmpError(Buffer.from(bytes), 4)));
  });
});
