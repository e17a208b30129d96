/** "HTTP/1.0" and "HTTP/1.1" have this many bytes. */
export const VERSION_BYTES = 8;

const PREFIX = Buffer.from('HTTP/1.');

/**
 * The version at `from`, of which VERSION_BYTES are there; null for any other (RFC 9112 §2.3: the name is
 * case-sensitive). A later minor version might frame messages by rules that we do not know.
 */
export function readVersion(bytes: Buffer, from: number): '1.0' | '1.1' | null {
  for (let i = 0; i < PREFIX.length; i++) if (bytes[from + i] !== PREFIX[i]) return null;
  const minor = bytes[from + PREFIX.length];
  if (minor === 0x31) return '1.1';
  return minor === 0x30 ? '1.0' : null;
}
