/** `node victim.ts ADDRESS CA MS`: a quiet workload. Prints what its requests took, in ms, as JSON. Runs in the pod's namespace. */
import {readFileSync} from 'node:fs';
import {connect as tlsConnect, type TLSSocket} from 'node:tls';

const [, , host, caFile, duration] = process.argv;
if (host === undefined || caFile === undefined) throw new Error('victim.ts ADDRESS CA MS');
const ca = readFileSync(caFile);
const NAME = 'calm.test';
const REQUEST = `GET /ok/a HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`;
/** A request on a kept connection this often, and every so many of them one on a new connection. */
const PAUSE_MS = 5;
const NEW_EVERY = 10;

function open(): Promise<TLSSocket> {
  const socket = tlsConnect({host: host!, port: 443, servername: NAME, ca, ALPNProtocols: ['http/1.1']});
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('cut')));
  });
}

async function ask(socket: TLSSocket): Promise<void> {
  socket.write(REQUEST);
  await new Promise((resolve, reject) => {
    socket.once('data', resolve);
    socket.once('close', () => reject(new Error('cut')));
  });
  socket.removeAllListeners('close');
}

const kept: number[] = [];
const fresh: number[] = [];
let failed = 0;
const connection = await open();
const until = performance.now() + Number(duration);
for (let i = 0; performance.now() < until; i++) {
  let started = performance.now();
  await ask(connection);
  kept.push(performance.now() - started);
  if (i % NEW_EVERY === 0) {
    started = performance.now();
    try {
      const socket = await open();
      await ask(socket);
      socket.destroy();
      fresh.push(performance.now() - started);
    } catch {
      failed++;
    }
  }
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
console.log(JSON.stringify({kept, fresh, failed}));
process.exit(0);
