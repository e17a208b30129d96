/** Header lines from and to HTTP/2 (RFC 9113 §8.2, §8.3); what HTTP/1 needs is in http1/headers.ts. */
import type {HeaderLines} from '../../policy/index.ts';

/** RFC 9110 §7.6.1 and RFC 9113 §8.2.2: of one connection only. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'te',
  // RFC 9110 §11.7: between a client and its proxy, and that is us.
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'http2-settings',
]);

/**
 * A response's lines as node:http2 gives them: pseudo-headers and what is of one connection out. Content-Length
 * is framing and goes too, except where `keepLength`: in answers to HEAD and in 304 it describes what is not sent (RFC 9110 §8.6).
 */
export function endToEndOfH2(lines: HeaderLines, keepLength: boolean): HeaderLines {
  const out: string[] = [];
  for (let i = 0; i < lines.length; i += 2) {
    const name = lines[i]!;
    if (name.charCodeAt(0) === 0x3a) continue;
    if (CONNECTION_SPECIFIC.has(name)) continue;
    if (!keepLength && name === 'content-length') continue;
    out.push(name, lines[i + 1]!);
  }
  return out;
}

/** RFC 9113 §8.2.1: names are lower-case there; connection-specific ones make the message malformed (§8.2.2). Appended to `out`. */
export function pushAsH2(out: string[], lines: HeaderLines): void {
  for (let i = 0; i < lines.length; i += 2) {
    const name = lines[i]!.toLowerCase();
    if (CONNECTION_SPECIFIC.has(name) || name === 'host' || name === 'content-length' || name === 'expect') continue;
    out.push(name, lines[i + 1]!);
  }
}

/** RFC 9113 §8.2.3: an HTTP/2 client may send the cookies as several lines; outside of HTTP/2 they are one, joined with "; ". */
export function joinCookies(lines: HeaderLines): HeaderLines {
  let first = -1;
  let several = false;
  for (let i = 0; i < lines.length; i += 2) {
    if (lines[i]!.length !== 6 || lines[i]!.toLowerCase() !== 'cookie') continue;
    if (first >= 0) several = true;
    else first = i;
  }
  if (!several) return lines;
  const out: string[] = [];
  let at = -1;
  for (let i = 0; i < lines.length; i += 2) {
    if (lines[i]!.toLowerCase() !== 'cookie') out.push(lines[i]!, lines[i + 1]!);
    else if (at < 0) {
      at = out.length + 1;
      out.push(lines[i]!, lines[i + 1]!);
    } else out[at] += `; ${lines[i + 1]!}`;
  }
  return out;
}
