/** Marks by which an attempt is known wherever it arrives. */
import {randomBytes} from 'node:crypto';

const PREFIX = 'spx';
const RANDOM_LETTERS = 12;
/** Letters that survive a host name, upper case, a path, an ICMP payload and base64-free protocols alike. */
const ALPHABET = 'abcdefghijklmnopqrstuvwy0123456789';

/** Every token in a text. */
export const TOKEN = /spx[a-wy0-9]{12}/g;

export function newToken(): string {
  return PREFIX + [...randomBytes(RANDOM_LETTERS)].map((byte) => ALPHABET[byte % ALPHABET.length]).join('');
}
