/**
 * The end of a wrapped stream, said inside of TLS. Whoever is on the wire can forge a FIN, and Node hands out one without close_notify
 * as an end like any other (RFC 8446 §6.1 calls that a truncation attack): a program would take half an answer for a whole one. So
 * the last record of each way is a word that only both ends of this connection know, and an end without it is a broken connection.
 */
import type {TLSSocket} from 'node:tls';
import {SallyportError} from '../../../runtime/errors.ts';

/** As long as a hash: no program says it by chance. */
const WORD_BYTES = 32;
/** RFC 8446 §7.5; each way has a word of its own. */
const LABEL = {
  client: 'EXPORTER-sallyport-mtls/1 client ends',
  server: 'EXPORTER-sallyport-mtls/1 server ends',
} as const;

/**
 * From now on `tls` ends with the word, and 'end' comes of the peer's alone; 'error' with SallyportError `Truncated` without it. At
 * the end of the handshake, before anything is read or written. `role`: ours.
 */
export function sealEnds(tls: TLSSocket, role: 'client' | 'server'): void {
  const word = (of: 'client' | 'server'): Buffer => tls.exportKeyingMaterial(WORD_BYTES, LABEL[of], Buffer.alloc(0));
  const theirs = word(role === 'client' ? 'server' : 'client');
  const final = tls._final.bind(tls);
  // Called when all else is written, so that the word is a record by itself.
  tls._final = (done) => {
    tls._write(word(role), 'buffer' as BufferEncoding, (error) => (error ? done(error) : final(done)));
  };
  const push = tls.push.bind(tls);
  let ended = false;
  const broken = (why: string): boolean => {
    tls.destroy(new SallyportError('Truncated', why, ''));
    return false;
  };
  // One call for each record (SSL_read(3) hands out at most one): before anything is buffered or gathered.
  tls.push = (chunk: Buffer | null, encoding) => {
    if (chunk === null) return ended ? false : broken('the connection ended before its stream did');
    if (ended) return broken('something was said after the end');
    if (chunk.length !== WORD_BYTES || !theirs.equals(chunk)) return push(chunk, encoding);
    ended = true;
    push(null);
    return true;
  };
}
