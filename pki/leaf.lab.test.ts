/** What a real OpenSSL client is offered by a leaf's context. */
import {execFile} from 'node:child_process';
import {createServer} from 'node:net';
import type {AddressInfo} from 'node:net';
import {TLSSocket} from 'node:tls';
import {expect} from '@jest/globals';
import {labTest} from '../test/lab/require.ts';
import {ephemeralCa} from './ca.ts';
import {createLeafSource} from './leaf.ts';

labTest('openssl')('its tickets allow no early data (RFC 8446 §8: it can be replayed)', async () => {
  const leaves = createLeafSource({ca: ephemeralCa()});
  const server = createServer((socket) => {
    const tls = new TLSSocket(socket, {isServer: true, secureContext: leaves.context('a.test')});
    tls.on('error', () => tls.destroy());
    tls.on('secure', () => tls.end('bye'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const {port} = server.address() as AddressInfo;
    const output = await new Promise<string>((resolve) => {
      const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'a.test', '-tls1_3', '-ign_eof'];
      execFile('openssl', args, (_error, stdout) => resolve(stdout));
    });
    const tickets = output.match(/Max Early Data: \d+/g);
    expect(tickets).not.toBeNull();
    expect(new Set(tickets)).toEqual(new Set(['Max Early Data: 0']));
  } finally {
    server.close();
  }
});
