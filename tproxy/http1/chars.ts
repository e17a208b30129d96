/** Byte classes as tables: one load per byte, no regular expression. Index: the byte; 1: belongs to the class. */

function classOf(members: (byte: number) => boolean): Uint8Array {
  const table = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) table[byte] = members(byte) ? 1 : 0;
  return table;
}

const isDigit = (b: number): boolean => b >= 0x30 && b <= 0x39;
const isAlpha = (b: number): boolean => (b >= 0x41 && b <= 0x5a) || (b >= 0x61 && b <= 0x7a);
const inText = (text: string, b: number): boolean => text.includes(String.fromCharCode(b));

/** tchar: method and field names (RFC 9110 §5.6.2). */
export const TOKEN = classOf((b) => isDigit(b) || isAlpha(b) || inText("!#$%&'*+-.^_`|~", b));

/** field-vchar, SP and HTAB: field values, reason phrases, chunk extensions (RFC 9110 §5.5). obs-text stays: it is opaque bytes. */
export const VALUE = classOf((b) => b === 0x09 || (b >= 0x20 && b !== 0x7f));

/** What a request target may hold: visible ASCII but '#', which starts what is never sent (RFC 9112 §3.2). */
export const TARGET = classOf((b) => b > 0x20 && b < 0x7f && b !== 0x23);

/** A host name's letters. RFC 3986 reg-name allows escapes and sub-delims as well; no DNS name has them, and servers read them differently. */
export const HOST = classOf((b) => isDigit(b) || isAlpha(b) || inText('-._', b));

/** What stands between the brackets of an IPv6 literal; no zone (RFC 6874 is for the local machine only). */
export const IPV6 = classOf(
  (b) => isDigit(b) || (b >= 0x41 && b <= 0x46) || (b >= 0x61 && b <= 0x66) || inText(':.', b),
);

/** A hex digit's value; 255 for what is none. */
export const HEX = Uint8Array.from({length: 256}, (_, b) => {
  if (isDigit(b)) return b - 0x30;
  if (b >= 0x41 && b <= 0x46) return b - 0x37;
  if (b >= 0x61 && b <= 0x66) return b - 0x57;
  return 255;
});

export const NUL = 0x00;
export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const HASH = 0x23;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;

/** Whether every character of `text` from `from` to `to` is of the class. Characters above U+00FF never are. */
export function allOf(table: Uint8Array, text: string, from = 0, to = text.length): boolean {
  for (let i = from; i < to; i++) if (table[text.charCodeAt(i)] !== 1) return false;
  return true;
}

export function isToken(text: string): boolean {
  return text.length > 0 && allOf(TOKEN, text);
}
