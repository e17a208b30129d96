/** What becomes of a datagram that no policy could ever allow: it has to be refused by our lock, at once. */
import {CallRefused, ProbeSocket, type IcmpError, type Place} from './sockets.ts';

export interface Probe {
  readonly protocol: 'udp' | 'icmp';
  readonly from: string;
  readonly to: Place;
}

export type Fate =
  /** A filter said "administratively prohibited", as our lock does. */
  | {readonly kind: 'refused'; readonly by: string | null}
  /** Another ICMP error: the packet went past the lock until somebody knew no way on. */
  | {readonly kind: 'bounced'; readonly error: IcmpError}
  /** It arrived. */
  | {readonly kind: 'answered'}
  /** It was sent, and nothing came back. */
  | {readonly kind: 'silent'}
  /** It did not leave the pod: no route (ENETUNREACH ...), or a rule inside the pod (EPERM). */
  | {readonly kind: 'kept'; readonly code: string}
  /** Such a socket cannot be had here. */
  | {readonly kind: 'impossible'; readonly code: string};

/** Kernels send a host about one ICMP error a second beyond six at once (icmp_ratelimit), so a probe is sent again. */
const SEND_AGAIN_MS = 200;
const LOOK_AGAIN_MS = 5;

/** Errno of send() that says: this never left. */
const KEPT = new Set(['ENETUNREACH', 'EPERM', 'EADDRNOTAVAIL', 'ENETDOWN', 'EINVAL']);

/** Sends until something is known, at most for `waitMs`. */
export async function probe({protocol, from, to}: Probe, waitMs: number): Promise<Fate> {
  let socket: ProbeSocket;
  try {
    socket = new ProbeSocket(protocol, from, to);
  } catch (cause) {
    if (!(cause instanceof CallRefused)) throw cause;
    return {kind: KEPT.has(cause.code) ? 'kept' : 'impossible', code: cause.code};
  }
  try {
    const started = performance.now();
    let sentAt = -Infinity;
    for (;;) {
      const now = performance.now();
      if (now - sentAt >= SEND_AGAIN_MS && now - started < waitMs) {
        sentAt = now;
        const code = sendTo(socket, protocol, to);
        if (code !== null) return {kind: 'kept', code};
      }
      if (socket.received()) return {kind: 'answered'};
      const error = socket.error();
      if (error !== null) return isProhibited(error) ? {kind: 'refused', by: error.by} : {kind: 'bounced', error};
      if (now - started >= waitMs) return {kind: 'silent'};
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  } finally {
    socket.close();
  }
}

/** RFC 1812 §5.2.7.1: communication administratively prohibited. RFC 4443 §3.1: the same in IPv6. */
export function isProhibited({family, type, code}: IcmpError): boolean {
  return family === 4 ? type === 3 && code === 13 : type === 1 && code === 1;
}

/** null: sent. */
function sendTo(socket: ProbeSocket, protocol: Probe['protocol'], to: Place): string | null {
  // An echo request: type, no code; the kernel fills in the checksum and its own identifier.
  const echo = Buffer.from([to.ip.includes(':') ? 128 : 8, 0, 0, 0, 0, 0, 0, 1]);
  try {
    socket.send(protocol === 'udp' ? Buffer.from('sallyport guard') : echo);
  } catch (cause) {
    if (!(cause instanceof CallRefused)) throw cause;
    // What an earlier packet came back with is told here too, and is read from the error queue.
    if (KEPT.has(cause.code)) return cause.code;
  }
  return null;
}
