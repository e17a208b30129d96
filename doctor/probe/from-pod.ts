/**
 * Runs in a pod's network namespace: sends what the capture must take and what it must refuse, to documentation addresses
 * (RFC 5737, RFC 3849) that nobody has, and prints what came of it. Started by send.ts; one JSON object in, one out.
 */
import {createSocket} from 'node:dgram';
import {connect} from 'node:net';
import type {ProbeResult, ProbeTarget} from './send.ts';

/** A handshake with a listener on this machine takes microseconds; a busy one gets the first retransmission (1 s) and time for it. */
const CONNECT_TIMEOUT_MS = 3_000;
/** The kernel's refusal comes at once, or, where it limits ICMP errors, not at all. */
const REFUSAL_TIMEOUT_MS = 500;

async function probe({family, ip, port, datagrams}: ProbeTarget): Promise<ProbeResult> {
  return {family, ...(await send(family, ip, port, datagrams)), tcp: await taken(ip, port)};
}

/** How many datagrams left the socket, and the first error that the kernel told of them; null: none in time. */
function send(family: 4 | 6, ip: string, port: number, datagrams: number): Promise<{sent: number; udp: string | null}> {
  return new Promise((resolve) => {
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    let sent = 0;
    let udp: string | null = null;
    const failed = (error: NodeJS.ErrnoException): void => {
      udp ??= error.code ?? error.message;
    };
    const end = (): void => {
      socket.close();
      resolve({sent, udp});
    };
    socket.on('error', failed);
    socket.connect(port, ip, (error?: NodeJS.ErrnoException) => {
      if (error != null) {
        failed(error);
        return end();
      }
      setTimeout(end, REFUSAL_TIMEOUT_MS);
      // The refusal of one is told by the next send(), which then sends nothing.
      for (let n = 0; n < datagrams; n++)
        socket.send('sallyport doctor', (refused) => (refused === null ? sent++ : failed(refused)));
    });
  });
}

/** `connected`, or why not. */
function taken(ip: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({host: ip, port, timeout: CONNECT_TIMEOUT_MS});
    const end = (how: string): void => {
      socket.destroy();
      resolve(how);
    };
    socket.on('connect', () => end('connected'));
    socket.on('timeout', () => end('ETIMEDOUT'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}

const targets = JSON.parse(process.argv[2] ?? '[]') as ProbeTarget[];
const results: ProbeResult[] = [];
for (const target of targets) results.push(await probe(target));
process.stdout.write(JSON.stringify(results));
