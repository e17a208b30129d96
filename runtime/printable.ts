/** Longest piece of client text that goes into a log line; longer ones end with an ellipsis and their length. */
export const MAX_LOGGED_CHARS = 512;

/**
 * Text that a client chose, made safe for a terminal and a log: everything but printable ASCII is written as \xNN or
 * \u{N}, a backslash as \\ (invariant 9: nothing a client chose is printed raw), and it is cut at MAX_LOGGED_CHARS.
 */
export function printable(text: string, maxChars = MAX_LOGGED_CHARS): string {
  let plain = true;
  const end = Math.min(text.length, maxChars);
  for (let i = 0; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e || code === 0x5c) {
      plain = false;
      break;
    }
  }
  if (plain) return text.length <= maxChars ? text : `${text.slice(0, maxChars)}...(${text.length} characters)`;
  let out = '';
  for (const char of text.slice(0, maxChars)) {
    const code = char.codePointAt(0)!;
    if (char === '\\') out += '\\\\';
    else if (code >= 0x20 && code <= 0x7e) out += char;
    else out += code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  }
  return text.length <= maxChars ? out : `${out}...(${text.length} characters)`;
}
