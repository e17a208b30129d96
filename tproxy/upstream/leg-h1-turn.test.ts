import {Duplex} from 'node:stream';
import type {Socket} from 'node:net';
import {describe, expect, test} from '@jest/globals';
import type {Carried, LegPlace, Loss} from './carry.ts';
import type {OutgoingRequest} from './contract.ts';
import {H1Leg} from './leg-h1.ts';

const PLACE: LegPlace = {
  address: '192.0.2.1',
  peer: '192.0.2.1:443',
  proxy: null,
  where: 'a.test:443',
  wantsCertificate: false,
};
const GET: OutgoingRequest = {
  method: 'GET',
  target: '/',
  authority: 'a.test',
  headers: [],
  body: {kind: 'none'},
  client: 'h1',
  upgrade: null,
  wantsTrailers: false,
  expectContinue: false,
};
const HEAD = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n';

/** A leg on a socket of the test's own: what is written to it, by writes, and what the exchange is told. */
function leg() {
  const writes: string[] = [];
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      writes.push(chunk.toString('latin1'));
      done();
    },
    writev(chunks, done) {
      writes.push(chunks.map(({chunk}) => (chunk as Buffer).toString('latin1')).join(''));
      done();
    },
  });
  const losses: Loss[] = [];
  const heads: number[] = [];
  const carried: Carried = {
    informational() {},
    head: (status) => void heads.push(status),
    body: () => true,
    ended() {},
    upgraded() {},
    drain() {},
    lost: (loss) => void losses.push(loss),
  };
  const one = new H1Leg(socket as unknown as Socket, PLACE, () => {}, () => {}, () => 0); // prettier-ignore
  return {one, socket, writes, losses, heads, carried};
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a request leaves at the end of the turn that asked for it', () => {
  test('... in one write, with the body that is there by then', async () => {
    const {one, writes, carried} = leg();
    one.carry({...GET, method: 'PUT', body: {kind: 'length', bytes: 2}}, null, carried, true);
    expect(writes).toEqual([]);
    one.write(Buffer.from('ok'));
    one.end([]);
    await turn();
    expect(writes).toEqual(['PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nok']);
  });
  test('... and what came before it left is no answer to it: nothing is sent, and another leg is asked', async () => {
    const {one, socket, writes, losses, heads, carried} = leg();
    one.carry(GET, null, carried, true);
    socket.emit('data', Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'));
    await turn();
    expect(heads).toEqual([]);
    expect(losses.map(({retry}) => retry)).toEqual(['always']);
    expect(writes).toEqual([]);
    expect(socket.destroyed).toBe(true);
  });
  test('... and what comes after it is', async () => {
    const {one, socket, writes, losses, heads, carried} = leg();
    one.carry(GET, null, carried, true);
    await turn();
    expect(writes).toEqual([HEAD]);
    socket.emit('data', Buffer.from('HTTP/1.1 204 No Content\r\n\r\n'));
    expect(heads).toEqual([204]);
    expect(losses).toEqual([]);
  });
  test('... but not where the server went away meanwhile: it was not sent, so it may be again', async () => {
    const {one, socket, writes, losses, carried} = leg();
    one.carry({...GET, method: 'POST'}, null, carried, true);
    socket.destroy();
    await turn();
    expect(writes).toEqual([]);
    expect(losses.map(({retry}) => retry)).toEqual(['always']);
  });
});
