/** The world's resolver: the same answers for clients and proxy, over UDP and TCP. */
import type {Socket as UdpSocket} from 'node:dgram';
import {createServer, isIP, type Server} from 'node:net';
import {decode, encode, streamDecode, streamEncode, type Packet, type StringAnswer} from 'dns-packet';
import {worldName} from '../format/places.ts';

/** Short enough for a world that lives a minute, long enough to be cached. */
const TTL_SECONDS = 30;
const NXDOMAIN = 3;
/** QR, AA, RA: an answer, authoritative, by one who looks up for others. */
const FLAGS = 0x8000 | 0x0400 | 0x0080;

/** The answer to a query: addresses in the world's order; NXDOMAIN for names that are not in it. */
export function dnsAnswer(query: Packet, addresses: ReadonlyMap<string, readonly string[]>): Packet {
  const question = query.questions?.[0];
  const found = question === undefined ? undefined : addresses.get(worldName(question.name));
  const answers: StringAnswer[] = [];
  for (const ip of found ?? []) {
    const type = isIP(ip) === 6 ? 'AAAA' : 'A';
    if (question?.type === type) answers.push({type, name: question.name, ttl: TTL_SECONDS, data: ip});
  }
  return {
    id: query.id ?? 0,
    type: 'response',
    flags: FLAGS | ((query.flags ?? 0) & 0x0100) | (found === undefined ? NXDOMAIN : 0),
    questions: query.questions ?? [],
    answers,
  };
}

export function serveDnsUdp(socket: UdpSocket, addresses: ReadonlyMap<string, readonly string[]>): void {
  socket.on('message', (message, from) => {
    try {
      socket.send(encode(dnsAnswer(decode(message), addresses)), from.port, from.address);
    } catch {
      // No query: a resolver says nothing to that.
    }
  });
  socket.on('error', () => undefined);
}

export function dnsTcpServer(addresses: ReadonlyMap<string, readonly string[]>): Server {
  return createServer((socket) => {
    let buffered = Buffer.alloc(0);
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
        const size = 2 + buffered.readUInt16BE(0);
        try {
          socket.write(streamEncode(dnsAnswer(streamDecode(buffered.subarray(0, size)), addresses)));
        } catch {
          socket.destroy();
          return;
        }
        buffered = buffered.subarray(size);
      }
    });
  });
}
