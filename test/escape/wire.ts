/** Bytes on a connection, as an attempt writes and reads them. */
import type {Socket} from 'node:net';
import {connect as connectTls, type ConnectionOptions, type TLSSocket} from 'node:tls';
import type {Attacker} from './attempt.ts';

/** A server that answers nothing is not waited for any longer. */
const QUIET_MS = 700;
/** What has to be answered for an attempt to prove anything is, on two busy cores too. */
const ANSWER_MS = 20_000;
/** A handshake that is refused by silence; one that is not takes a leaf to be made and two round trips. */
const HANDSHAKE_MS = 5_000;

/**
 * Writes the parts one after the other, each when the peer has answered the one before (or kept quiet), and resolves with
 * everything that was heard until the peer closed or kept quiet.
 */
export const say = (socket: Socket, ...parts: readonly (string | Buffer)[]): Promise<string> =>
  exchange(socket, parts, null);

/** As say(); `answered`: what the answer to the first part has in it, and is waited for. */
async function exchange(socket: Socket, parts: readonly (string | Buffer)[], answered: string | null): Promise<string> {
  let heard = '';
  let tell = (): void => undefined;
  socket.on('data', (chunk: Buffer) => {
    heard += chunk.toString('latin1');
    tell();
  });
  socket.on('close', () => tell());
  socket.on('error', () => tell());
  const quiet = (): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, QUIET_MS);
      tell = () => {
        clearTimeout(timer);
        resolve();
      };
      if (socket.destroyed) tell();
    });
  for (const [n, part] of parts.entries()) {
    if (socket.destroyed) break;
    socket.write(typeof part === 'string' ? Buffer.from(part, 'latin1') : part);
    await quiet();
    if (n > 0 || answered === null) continue;
    for (const due = performance.now() + ANSWER_MS; !heard.includes(answered) && performance.now() < due;) {
      if (socket.destroyed) break;
      await quiet();
    }
  }
  // One more silence: an answer may come in several pieces, and a second answer after the first.
  for (let before = -1; before !== heard.length && !socket.destroyed;) {
    before = heard.length;
    await quiet();
  }
  socket.destroy();
  return heard;
}

/** As say(), where the first part is allowed and its answer shows that the rest met a proxy that was talking to the site. */
export async function sayAfter(by: Attacker, socket: Socket, ...parts: readonly (string | Buffer)[]): Promise<string> {
  const mustAnswer = by.name === 'locked';
  const heard = await exchange(socket, parts, mustAnswer ? 'reached' : null);
  // A token may have been refused on the way only where there was a way.
  if (mustAnswer && !heard.includes('reached')) throw new Error('the allowed part was not answered');
  return heard;
}

/** TLS to an address under a name, trusting everything. Resolves with the socket, be it secured or closed. */
export function tlsTo(
  by: Attacker,
  ip: string,
  servername: string | null,
  options: ConnectionOptions = {},
  port = 443,
): Promise<TLSSocket> {
  return secured(by.connect(ip, port), servername, options);
}

/** TLS on a connection that is there. */
export function secured(
  socket: Socket,
  servername: string | null,
  options: ConnectionOptions = {},
): Promise<TLSSocket> {
  return new Promise((resolve) => {
    const tls = connectTls({
      socket,
      rejectUnauthorized: false,
      ...(servername === null ? {} : {servername}),
      ...options,
    });
    const timer = setTimeout(() => tls.destroy(), HANDSHAKE_MS);
    tls.on('error', () => tls.destroy());
    tls.once('secureConnect', () => {
      clearTimeout(timer);
      resolve(tls);
    });
    tls.once('close', () => {
      clearTimeout(timer);
      resolve(tls);
    });
  });
}

/** Lines joined and ended as HTTP wants it. */
export const http = (...lines: readonly string[]): string => `${lines.join('\r\n')}\r\n\r\n`;
