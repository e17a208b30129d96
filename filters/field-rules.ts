/** Which header fields a filter may write, and how. Checked in the filter's process for the message, and in ours for safety. */

/**
 * Whom a message is for, where it ends, and what belongs to one hop (RFC 9110 §7.2, §7.6.1, §10.1.1; RFC 9112 §6).
 * A filter that changed these would change what was decided, or how the next reader cuts the bytes.
 */
const PROTECTED: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'trailer',
  'expect',
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'upgrade',
  'http2-settings',
  'proxy-authorization',
  'proxy-authenticate',
  'proxy-authentication-info',
]);

/** `name` in lower case. */
export function isProtectedField(name: string): boolean {
  return PROTECTED.has(name);
}

/** RFC 9110 §5.6.2 token; so no pseudo header either. */
export function isFieldName(name: string): boolean {
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name);
}

/** RFC 9110 §5.5: no control characters but tab, nothing beyond Latin-1, no white space around it. */
export function isFieldValue(value: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value) && value === value.replace(/^[\t ]+|[\t ]+$/g, '');
}
