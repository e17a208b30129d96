/** A `request` step as a curl command, and what curl says of it. Pure; who runs it is the target's affair. */
import type {HostPort, RequestAction} from '../format/case.ts';
import {bracketed, canonical, joinHostPort} from '../format/places.ts';
import {bodyBytes, headerLines, hostHeader, sentTarget, urlAuthority} from './request-lines.ts';
import type {Answer} from '../observation.ts';

/** A server that waits (/slow/MS) is waited for; nothing else takes this long. */
const MAX_SECONDS = 30;
/** A SYN that is dropped is tried again after one second and after three. */
const CONNECT_SECONDS = 5;

export interface CurlPlace {
  /** PEM of what this client trusts. */
  readonly caFile: string;
  /** Where the explicit port is, as this client is told. */
  readonly proxy: HostPort;
  /** The address of the URL's host, where the client names none: to send no SNI, curl has to be given the literal. */
  readonly literal: string | null;
}

/** The command line; the body, where there is one, goes to its standard input. */
export function curlCommand(
  action: RequestAction,
  place: CurlPlace,
): {readonly argv: string[]; readonly stdin: Buffer | null} {
  const argv = [
    'curl',
    '-q',
    '-sS',
    '-g',
    '--noproxy',
    '',
    '--cacert',
    place.caFile,
    '--max-time',
    String(MAX_SECONDS),
    '--connect-timeout',
    String(CONNECT_SECONDS),
  ];
  argv.push('-w', '%{stderr}\n%{json}\n%{header_json}');
  argv.push(
    action.http === '1.1' ? '--http1.1' : action.url.scheme === 'https' ? '--http2' : '--http2-prior-knowledge',
  );
  if (action.pathAsIs) argv.push('--path-as-is');
  if (action.via === 'explicit') argv.push('-x', `http://${joinHostPort(place.proxy.host, place.proxy.port)}`);

  if (action.method === 'HEAD' && action.body === null) argv.push('--head');
  else argv.push('-X', action.method);
  const stdin = bodyBytes(action);
  if (stdin !== null) argv.push('--data-binary', '@-');

  const own = headerLines(action);
  for (let i = 0; i + 1 < own.length; i += 2)
    argv.push('-H', own[i + 1] === '' ? `${own[i]!};` : `${own[i]!}: ${own[i + 1]!}`);
  // What curl adds by itself is left out: the step says what is sent.
  if (stdin !== null) for (const name of ['Content-Type', 'Expect']) if (!named(own, name)) argv.push('-H', `${name}:`);

  const target: HostPort = action.connectTo ?? {host: action.url.host, port: action.url.port};
  if (action.sni === null) {
    if (action.connectTo !== null) argv.push('--connect-to', `::${joinHostPort(target.host, target.port)}`);
    if (action.host !== null) argv.push('-H', `Host: ${hostHeader(action)}`);
    argv.push(`${action.url.scheme}://${urlAuthority(action)}${sentTarget(action)}`);
  } else {
    // curl takes the SNI from the URL: the URL names it, Host names the host, and the connection goes where it would have.
    const name = action.sni === '' ? (place.literal ?? target.host) : action.sni;
    argv.push('--connect-to', `::${joinHostPort(target.host, target.port)}`, '-H', `Host: ${hostHeader(action)}`);
    argv.push(`${action.url.scheme}://${bracketed(name)}:${action.url.port}${sentTarget(action)}`);
  }
  return {argv, stdin};
}

const named = (lines: readonly string[], name: string): boolean =>
  lines.some((line, i) => i % 2 === 0 && line.toLowerCase() === name.toLowerCase());

export interface CurlResult {
  readonly answer: Answer;
  /** The client's own address and port; null: it never connected. */
  readonly source: string | null;
  /** `1.1`, `2`; '' where nothing was answered. */
  readonly version: string;
  readonly note: string;
}

/** Exit codes of curl that mean that nobody answered, or stopped answering (curl(1), EXIT CODES). */
const REFUSED = new Map<number, string>([
  [7, 'could not connect'],
  [16, 'an HTTP/2 error'],
  [28, 'timed out'],
  [35, 'reset in the TLS handshake'],
  [52, 'closed without an answer'],
  [55, 'reset while sending'],
  [56, 'reset'],
  [60, 'the client does not trust the certificate'],
  [92, 'an HTTP/2 stream error'],
]);
const COULD_NOT_RESOLVE = 6;

/** `known`: whether the URL's host is a name of the world; then a client that cannot resolve it is broken. */
export function readCurl(
  action: RequestAction,
  run: {readonly status: number | null; readonly stdout: string; readonly stderr: string; readonly timedOut: boolean},
  known: boolean,
): CurlResult {
  const at = run.stderr.indexOf('\n{"');
  const said = run.stderr.slice(0, Math.max(at, 0)).trim() || (at === -1 ? run.stderr.trim() : '');
  const note = `curl: exit ${run.status ?? 'by a signal'}${said === '' ? '' : `, ${said}`}`;
  const failed = (why: string): CurlResult => ({answer: {kind: 'failed', why}, source: null, version: '', note});
  if (at === -1) return failed(run.timedOut ? 'curl did not end' : said);
  const text = run.stderr.slice(at + 1);
  const end = text.indexOf('\n');
  const facts = JSON.parse(text.slice(0, end)) as {
    http_code: number;
    http_connect: number;
    local_ip: string;
    local_port: number;
    http_version: string;
  };
  const headers = JSON.parse(text.slice(end + 1)) as Record<string, string[]>;
  const source = facts.local_port > 0 ? joinHostPort(canonical(facts.local_ip), facts.local_port) : null;
  const common = {source, version: facts.http_version === '0' ? '' : facts.http_version, note};
  if (facts.http_code > 0) {
    // With --head what curl prints is the head.
    return {
      ...common,
      answer: {
        kind: 'response',
        status: facts.http_code,
        headers: new Map(Object.entries(headers)),
        body: action.method === 'HEAD' ? '' : run.stdout,
      },
    };
  }
  // A CONNECT that is refused is all the answer that this client gets.
  if (facts.http_connect >= 300)
    return {...common, answer: {kind: 'response', status: facts.http_connect, headers: new Map(), body: ''}};
  const code = run.status ?? -1;
  if (code === COULD_NOT_RESOLVE && !known)
    return {...common, answer: {kind: 'refused', how: 'the name does not resolve'}};
  const how = REFUSED.get(code);
  return how === undefined
    ? {...common, answer: {kind: 'failed', why: note}}
    : {...common, answer: {kind: 'refused', how: `${how}: ${said}`}};
}
