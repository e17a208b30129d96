import {randomFillSync} from 'node:crypto';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const pool = Buffer.alloc(4096);
let used = pool.length;

/** A decision's id: 16 characters of Crockford base32 (80 random bits), safe in a URL, a log line and a phone call. */
export function newDecisionId(): string {
  if (used + 16 > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  let id = '';
  for (let i = 0; i < 16; i++) id += ALPHABET[pool[used++]! & 31];
  return id;
}
