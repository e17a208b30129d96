/** Connections that stay open over the steps that name them: HTTP/1.1 and HTTP/2, straight or through the explicit port. */
import {connect as connectHttp2, type ClientHttp2Session, type OutgoingHttpHeaders} from 'node:http2';
import type {Socket} from 'node:net';
import type {HostPort, RequestAction} from '../format/case.ts';
import {headerMap, type Answer} from '../observation.ts';
import {bodyBytes, headerLines, hostHeader, sentSni, sentTarget, urlAuthority} from './request-lines.ts';
import {readResponses} from './responses.ts';
import {askTunnel, ClientStream, openTcp, openTls, sourceOf, type NotOpened} from './stream.ts';

const ANSWER_TIMEOUT_MS = 30_000;
/** A change of policy reaches what lives within this time. */
const CLOSE_TIMEOUT_MS = 2000;

export interface KeptPlace {
  /** The client's namespace. */
  readonly path: string;
  /** The address of the URL's host (or connectTo). */
  readonly ip: string;
  readonly proxy: HostPort;
  /** PEM of what the client trusts. */
  readonly ca: string;
}

export interface KeptResult {
  readonly answer: Answer;
  readonly source: string | null;
  /** It was opened by an earlier step and is no longer there. */
  readonly wasClosed: boolean;
  readonly version: string;
}

interface Open {
  readonly client: ClientStream;
  /** null: HTTP/1.1. */
  readonly session: ClientHttp2Session | null;
}

export class KeptConnections {
  readonly #open = new Map<string, Open>();

  /** Sends a step's request on the connection that it names, which is opened first where no step has yet. */
  async request(name: string, action: RequestAction, place: KeptPlace, expectsRefusal: boolean): Promise<KeptResult> {
    let open = this.#open.get(name);
    if (open === undefined) {
      const opened = await this.#connect(action, place);
      if ('refused' in opened) {
        const answer: Answer =
          opened.status === null
            ? {kind: 'refused', how: opened.refused}
            : {kind: 'response', status: opened.status, headers: new Map(), body: ''};
        return {answer, source: opened.source, wasClosed: false, version: ''};
      }
      open = opened;
      this.#open.set(name, open);
    } else {
      // A step that says it was cut waits for the cut; every other finds out whether it happened.
      if (expectsRefusal) await open.client.until(() => false, CLOSE_TIMEOUT_MS);
      if (isClosed(open)) {
        return {
          answer: {kind: 'refused', how: `it was ${open.client.ending ?? 'closed'} before`},
          source: open.client.source,
          wasClosed: true,
          version: '',
        };
      }
    }
    const version = open.session === null ? '1.1' : '2';
    const answer = open.session === null ? await http1(open.client, action) : await http2(open.session, action);
    return {answer, source: open.client.source, wasClosed: false, version};
  }

  async #connect(action: RequestAction, place: KeptPlace): Promise<Open | NotOpened> {
    const target: HostPort = action.connectTo ?? {host: action.url.host, port: action.url.port};
    const explicit = action.via === 'explicit';
    const socket = await openTcp(
      place.path,
      explicit ? {ip: place.proxy.host, port: place.proxy.port} : {ip: place.ip, port: target.port},
    );
    if ('refused' in socket) return socket;
    const source = sourceOf(socket);
    if (action.url.scheme === 'http') {
      if (action.http === '1.1') return {client: new ClientStream(socket, source), session: null};
      return {client: new ClientStream(socket, source, false), session: http2Session('http://kept.invalid', socket)};
    }
    if (explicit) {
      const refused = await askTunnel(socket, target);
      if (refused !== null) return refused;
    }
    const tls = await openTls(socket, {
      sni: sentSni(action),
      alpn: action.http === '2' ? ['h2', 'http/1.1'] : ['http/1.1'],
      ca: place.ca,
      name: sentSni(action) ?? place.ip,
    });
    if ('refused' in tls) return tls;
    if (tls.alpnProtocol !== 'h2') return {client: new ClientStream(tls, source), session: null};
    return {client: new ClientStream(tls, source, false), session: http2Session('https://kept.invalid', tls)};
  }

  close(): void {
    for (const {client, session} of this.#open.values()) {
      session?.destroy();
      client.destroy();
    }
    this.#open.clear();
  }
}

function http2Session(origin: string, socket: Socket): ClientHttp2Session {
  const session = connectHttp2(origin, {createConnection: () => socket});
  session.on('error', () => undefined);
  return session;
}

const isClosed = ({client, session}: Open): boolean =>
  client.ending !== null || client.stream.destroyed || (session?.destroyed ?? false) || (session?.closed ?? false);

async function http1(client: ClientStream, action: RequestAction): Promise<Answer> {
  client.forget();
  const absolute = action.via === 'explicit' && action.url.scheme === 'http';
  const body = bodyBytes(action);
  const own = headerLines(action);
  const lines = [
    `${action.method} ${absolute ? `http://${urlAuthority(action)}` : ''}${sentTarget(action)} HTTP/1.1`,
    `Host: ${hostHeader(action)}`,
  ];
  for (let i = 0; i + 1 < own.length; i += 2) lines.push(`${own[i]!}: ${own[i + 1]!}`);
  if (body !== null) lines.push(`Content-Length: ${body.length}`);
  await client.write(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body ?? Buffer.alloc(0)]));
  const read = () => readResponses(client.received, [action.method], client.ending !== null);
  await client.until(() => read().whole.length > 0, ANSWER_TIMEOUT_MS);
  const {whole, partial} = read();
  return whole[0] ?? partial ?? {kind: 'refused', how: client.ending ?? 'timed out'};
}

async function http2(session: ClientHttp2Session, action: RequestAction): Promise<Answer> {
  const headers: OutgoingHttpHeaders = {
    ':method': action.method,
    ':scheme': action.url.scheme,
    ':authority': hostHeader(action),
    ':path': sentTarget(action),
  };
  for (const [name, values] of headerMap(headerLines(action)))
    headers[name] = values.length === 1 ? values[0] : [...values];
  const body = bodyBytes(action);
  const {promise, resolve} = Promise.withResolvers<Answer>();
  const stream = session.request(headers, {endStream: body === null});
  const chunks: Buffer[] = [];
  let head: {status: number; headers: ReadonlyMap<string, readonly string[]>} | null = null;
  stream.on('response', (received) => {
    const map = new Map<string, readonly string[]>();
    for (const [name, value] of Object.entries(received))
      if (!name.startsWith(':') && value !== undefined) map.set(name, Array.isArray(value) ? value : [String(value)]);
    head = {status: received[':status'] ?? 0, headers: map};
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => undefined);
  stream.on('close', () => {
    if (head === null) resolve({kind: 'refused', how: `the stream was reset (code ${stream.rstCode})`});
    else resolve({kind: 'response', ...head, body: Buffer.concat(chunks).toString('utf8')});
  });
  const timer = setTimeout(() => stream.destroy(), ANSWER_TIMEOUT_MS);
  if (body !== null) stream.end(body);
  const answer = await promise;
  clearTimeout(timer);
  return answer;
}
