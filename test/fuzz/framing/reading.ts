/** How a reader cut bytes into requests: what has to be the same for everybody who reads them. */
import {requestsIn} from '../../../tproxy/http1/test-support.ts';

export interface ReadRequest {
  readonly method: string;
  /** Latin-1, as every reader shows it. */
  readonly body: string;
}

/** What we read: whole requests, one whose body is not there yet, and whether we go on reading after them. */
export interface OurReading {
  readonly requests: readonly ReadRequest[];
  /** A head was taken, and its body goes on behind the last byte. */
  readonly open: boolean;
  /** null: not refused. */
  readonly refused: string | null;
  /** After `Connection: close` nothing counts any more; what follows CONNECT or an upgrade is the tunnel's. */
  readonly over: boolean;
}

export function readOurs(bytes: Buffer): OurReading {
  const requests: ReadRequest[] = [];
  let open: {method: string; body: string} | null = null;
  let refused: string | null = null;
  let over = false;
  for (const one of requestsIn([bytes])) {
    switch (one.kind) {
      case 'head':
        if (!('method' in one.head)) throw new Error('a response among requests');
        if (over) return {requests, open: false, refused, over};
        open = {method: one.head.method, body: ''};
        over = !one.head.keepAlive || one.head.method === 'CONNECT' || one.head.upgrade.length > 0;
        break;
      case 'body':
        open!.body += one.text;
        break;
      case 'end':
        requests.push(open!);
        open = null;
        break;
      case 'bad':
        if (over && open === null) return {requests, open: false, refused, over};
        refused = one.code;
        break;
      case 'informational':
        throw new Error('a response among requests');
    }
  }
  return {requests, open: open !== null && refused === null, refused, over};
}

/**
 * What is wrong where a peer reads these bytes in another way than we, though we took them; null: nothing. A peer may stop
 * earlier than we do (it refuses more); it may go on only where we did not.
 */
export function disagreement(ours: OurReading, theirs: readonly ReadRequest[]): string | null {
  for (const [i, one] of ours.requests.entries()) {
    const other = theirs[i];
    if (other === undefined) return null;
    if (other.method !== one.method || other.body !== one.body)
      return `request ${i}: we read ${shown(one)}, it reads ${shown(other)}`;
  }
  const more = theirs.length - ours.requests.length;
  if (more <= 0 || ours.refused !== null || ours.over) return null;
  const next = theirs[ours.requests.length]!;
  return ours.open
    ? `it reads the whole of a request that we read on: ${shown(next)}`
    : `it reads one more request: ${shown(next)}`;
}

function shown({method, body}: ReadRequest): string {
  return `${method} with ${body.length} bytes ${JSON.stringify(body.slice(0, 40))}`;
}

/** A reading in a few characters, to tell kinds apart: the lengths of the bodies. */
export function lengthsOf(requests: readonly ReadRequest[]): string {
  return requests.length === 0 ? 'none' : requests.map(({method, body}) => `${method} ${body.length}`).join(' + ');
}
