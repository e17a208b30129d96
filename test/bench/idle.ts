/** What an idle intercepted connection costs in memory: with both legs, and after the upstream leg was closed. */
import {mkdirSync} from 'node:fs';
import {once} from 'node:events';
import {connect as tlsConnect, type TLSSocket} from 'node:tls';
import {listening} from '../../cli/demo/proxy-process.ts';
import {connectIn, type Lab} from '../lab/index.ts';
import type {Site} from './peers/peer.ts';
import {sallyport} from './peers/sallyport.ts';
import {usage} from './processes.ts';
import type {Table} from './tables.ts';

const CONNECTIONS = 10_000;
/** Handshakes under way at once: enough to keep the proxy busy, few enough not to queue for seconds. */
const BATCH = 50;
/** Longer than upstream/'s idle time for a leg, its sweep included. */
const LEG_IDLE_MS = 20_000;

export async function benchIdle(lab: Lab, site: Site): Promise<Table> {
  mkdirSync(site.dir, {recursive: true});
  const child = lab.spawn('node', sallyport.prepare(site).argv);
  await listening(child, () => {});
  const request = `GET /small HTTP/1.1\r\nHost: ${site.host}\r\n\r\n`;
  const open = async (): Promise<TLSSocket> => {
    const raw = connectIn(lab.pod('client').path, {ip: site.address, port: 443});
    const socket = tlsConnect({socket: raw, servername: site.host, rejectUnauthorized: false});
    socket.write(request);
    await once(socket, 'data');
    socket.on('data', () => {});
    socket.on('error', () => {});
    return socket;
  };
  try {
    // Warm: code compiled, pools made.
    for (const socket of await Promise.all(Array.from({length: BATCH}, open))) socket.destroy();
    const before = usage(child.pid!).residentBytes;
    const sockets: TLSSocket[] = [];
    while (sockets.length < CONNECTIONS) sockets.push(...(await Promise.all(Array.from({length: BATCH}, open))));
    const both = usage(child.pid!).residentBytes;
    await new Promise((resolve) => setTimeout(resolve, LEG_IDLE_MS));
    const one = usage(child.pid!).residentBytes;
    for (const socket of sockets) socket.destroy();
    const each = (bytes: number): string => ((bytes - before) / CONNECTIONS / 1000).toFixed(0);
    return {
      title: `Memory of ${CONNECTIONS} idle intercepted connections (resident, the supervisor included)`,
      columns: [
        'before MB',
        'with both legs MB',
        'kB each, both legs',
        'upstream legs closed MB',
        'kB each, client leg',
      ],
      rows: [[Math.round(before / 1e6), Math.round(both / 1e6), each(both), Math.round(one / 1e6), each(one)]],
    };
  } finally {
    child.kill('SIGKILL');
    await lab.exec('node', ['nft', 'delete', 'table', 'inet', 'sallyport']);
  }
}
