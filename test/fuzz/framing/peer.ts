/**
 * Another reader of HTTP/1, as the server that it is. Each answers every request with what it read of it in a header field,
 * so that nothing has to be attributed: the client looks for those fields in the bytes that come back.
 */
import {connect} from 'node:net';
import type {ReadRequest} from './reading.ts';

export interface Peer {
  readonly name: string;
  /** Where it listens. */
  readonly socket: string;
  /** How long it may be silent before our side is closed; 0: at once. For those that take a client that half-closes for one that has gone. */
  readonly silenceMs: number;
  close(): Promise<void>;
}

/** Base64 of the method, a line feed and the body. */
export const READ_FIELD = 'X-Read';

/** A local server that has not answered by then has hung. */
const PATIENCE_MS = 10_000;

/** What the peer makes of the bytes, which are all that it gets: the client's side is closed behind them. */
export function readBy(peer: Peer, bytes: Buffer): Promise<readonly ReadRequest[]> {
  return new Promise((resolve, reject) => {
    const answers: Buffer[] = [];
    const socket = connect({path: peer.socket, allowHalfOpen: true});
    const settle = (error?: Error): void => {
      clearTimeout(timer);
      if (silence !== null) clearTimeout(silence);
      socket.destroy();
      if (error === undefined) resolve(readingsIn(Buffer.concat(answers)));
      else reject(error);
    };
    const timer = setTimeout(
      () => settle(new Error(`${peer.name} neither answers nor closes: ${JSON.stringify(bytes.toString('latin1'))}`)),
      PATIENCE_MS,
    );
    let silence: NodeJS.Timeout | null = null;
    const wait = (): void => {
      if (silence !== null) clearTimeout(silence);
      silence = setTimeout(() => socket.end(), peer.silenceMs);
    };
    socket.on('data', (chunk) => {
      answers.push(chunk);
      if (silence !== null) wait();
    });
    // A server that refuses may reset the connection with our bytes unread; what it said before counts.
    socket.on('error', () => settle());
    socket.on('end', () => settle());
    if (peer.silenceMs === 0) socket.end(bytes);
    else socket.write(bytes, wait);
  });
}

function readingsIn(answer: Buffer): ReadRequest[] {
  const found = answer.toString('latin1').matchAll(new RegExp(`^${READ_FIELD}: ([A-Za-z0-9+/=]+)\\r$`, 'gim'));
  return [...found].map(([, base64]) => {
    const text = Buffer.from(base64!, 'base64').toString('latin1');
    const end = text.indexOf('\n');
    return {method: text.slice(0, end), body: text.slice(end + 1)};
  });
}

/** What a peer writes into the field. */
export function fieldOf(method: string, body: Buffer): string {
  return Buffer.concat([Buffer.from(`${method}\n`, 'latin1'), body]).toString('base64');
}
