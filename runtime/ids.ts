import {randomFillSync} from 'node:crypto';

const ALPHABET = Buffer.from('0123456789abcdefghjkmnpqrstvwxyz', 'latin1');
const ID_CHARS = 16;
/** Characters made at a time: asking for randomness costs more than writing an id. */
const pool = Buffer.alloc(256 * ID_CHARS);
let used = pool.length;

/** A decision's id: 16 characters of Crockford base32 (80 random bits), safe in a URL, a log line and a phone call. */
export function newDecisionId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    for (let i = 0; i < pool.length; i++) pool[i] = ALPHABET[pool[i]! & 31]!;
    used = 0;
  }
  const from = used;
  used += ID_CHARS;
  return pool.toString('latin1', from, used);
}
