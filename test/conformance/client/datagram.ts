/** A `udp` step: one datagram, and whether anything comes back. */
import {udpIn} from '../../lab/index.ts';
import type {Answer} from '../observation.ts';

/** A refusal comes as ICMP at once; silence is one too, after this long. */
const REPLY_TIMEOUT_MS = 1000;

/** Sends from `from` in the namespace at `path`. */
export async function runUdp(
  path: string,
  from: string,
  to: {readonly ip: string; readonly port: number},
  latin1: string,
): Promise<Answer> {
  const socket = await udpIn(path, from, 0);
  const {promise, resolve} = Promise.withResolvers<Answer>();
  const refused = (error: Error | null): void => {
    if (error !== null) resolve({kind: 'refused', how: (error as NodeJS.ErrnoException).code ?? error.message});
  };
  socket.on('error', refused);
  socket.on('message', (message) => resolve({kind: 'bytes', latin1: message.toString('latin1')}));
  // Connected, so that the kernel tells us of ICMP errors.
  socket.connect(to.port, to.ip, () => socket.send(Buffer.from(latin1, 'latin1'), refused));
  const timer = setTimeout(() => resolve({kind: 'refused', how: 'timed out'}), REPLY_TIMEOUT_MS);
  const answer = await promise;
  clearTimeout(timer);
  socket.close();
  return answer;
}
