/** The same for responses: what a server says, read by us and by those that read it for others: node:http and nginx. */
import {request as ask} from 'node:http';
import {createServer} from 'node:net';
import type {Server} from 'node:net';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {responsesIn} from '../../../tproxy/http1/test-support.ts';
import {NGINX} from './peers/nginx.ts';
import {startProcess} from './peers/process.ts';

export type Asked = 'GET' | 'HEAD';

export interface ReadResponse {
  readonly status: number;
  /** Latin-1. */
  readonly body: string;
}

export interface ResponseReaders {
  readonly names: readonly string[];
  /** What each makes of a response, in the order of `names`; null: it was refused, or cut. */
  read(bytes: Buffer, asked: Asked): Promise<(ReadResponse | null)[]>;
  close(): Promise<void>;
}

/** A response that does not end hangs its reader; the connection is closed behind the bytes, so nobody waits long. */
const PATIENCE_MS = 10_000;

/** An origin that answers `GET /N` with the Nth bytes that were given to it, readers that ask it, and nginx between. */
export async function startResponseReaders(): Promise<ResponseReaders> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-responses-'));
  const origin = join(dir, 'origin.sock');
  const given = new Map<string, Buffer>();
  const server = await originOf(origin, given);
  const sockets: {name: string; socket: string; close(): Promise<void>}[] = [
    {name: 'llhttp (node:http)', socket: origin, close: () => new Promise((done) => server.close(() => done()))},
  ];
  if (NGINX !== undefined) {
    const socket = join(dir, 'front.sock');
    writeFileSync(
      join(dir, 'nginx.conf'),
      `daemon off; master_process off; worker_processes 1; pid ${dir}/pid; error_log stderr crit;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path ${dir}/c; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  server {
    listen unix:${socket};
    error_page 502 504 =599 @refused;
    location / { proxy_pass http://unix:${origin}:; proxy_http_version 1.1; proxy_set_header Connection close; }
    location @refused { return 599; }
  }
}
`,
    );
    sockets.unshift(await startProcess('nginx', socket, [NGINX, '-p', dir, '-c', join(dir, 'nginx.conf')], dir));
  }
  let next = 0;
  return {
    names: sockets.map(({name}) => name),
    read: async (bytes, asked) => {
      const path = `/${next++}`;
      given.set(path, bytes);
      const read = await Promise.all(sockets.map(({socket}) => readOne(socket, path, asked)));
      given.delete(path);
      return read;
    },
    close: async () => {
      for (const one of sockets) await one.close();
      rmSync(dir, {recursive: true, force: true});
    },
  };
}

async function originOf(path: string, given: ReadonlyMap<string, Buffer>): Promise<Server> {
  const server = createServer((socket) => {
    let head = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      socket.end(given.get(head.split(' ')[1]!) ?? Buffer.alloc(0));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

/** nginx's own refusal is made a status that no server of the tests uses. */
const REFUSED = 599;

function readOne(socketPath: string, path: string, method: Asked): Promise<ReadResponse | null> {
  return new Promise((resolve) => {
    const nothing = (): void => resolve(null);
    const request = ask({socketPath, path, method, agent: false, timeout: PATIENCE_MS}, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', nothing);
      response.on('end', () => {
        const status = response.statusCode ?? 0;
        if (!response.complete || status === REFUSED) nothing();
        else resolve({status, body: Buffer.concat(chunks).toString('latin1')});
      });
    });
    request.on('timeout', () => request.destroy());
    request.on('upgrade', (_response, socket) => (socket.destroy(), nothing()));
    request.on('error', nothing);
    request.end();
  });
}

/** The response that we take, whole and alone on its connection; null: refused, with the code. */
export function readOurResponse(bytes: Buffer, method: Asked): ReadResponse | {readonly refused: string} {
  let read: ReadResponse | null = null;
  let body = '';
  for (const one of responsesIn([bytes], [{method}], {finish: true})) {
    if (one.kind === 'bad') return {refused: one.code};
    if (one.kind === 'head' && 'status' in one.head) read = {status: one.head.status, body: ''};
    if (one.kind === 'body') body += one.text;
  }
  return read === null ? {refused: 'nothing'} : {...read, body};
}

/** What is wrong where we took a response that a reader takes too, as another one; null: nothing. */
export function responseDisagreement(
  ours: ReturnType<typeof readOurResponse>,
  theirs: ReadResponse | null,
): string | null {
  if ('refused' in ours || theirs === null) return null;
  if (ours.status === theirs.status && ours.body === theirs.body) return null;
  return `we read ${JSON.stringify(ours)}, it reads ${JSON.stringify(theirs)}`;
}

/** Known ways to say a response that its readers cut differently, with what we say: a code, or the body. */
export const RESPONSE_VARIANTS: readonly {readonly name: string; readonly bytes: Buffer; readonly asked: Asked; readonly ours: string}[] = [
  ['a length', 'Content-Length: 5\r\n\r\nhello', 'hello'],
  ['chunks', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', 'hello'],
  ['the end of the connection', '\r\nhello', 'hello'],
  ['a length and the coding', 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', 'LengthAndEncoding'],
  ['two lengths', 'Content-Length: 5\r\nContent-Length: 3\r\n\r\nhello', 'DuplicateContentLength'],
  ['the length twice', 'Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello', 'DuplicateContentLength'],
  ['a list of lengths', 'Content-Length: 5, 5\r\n\r\nhello', 'DuplicateContentLength'],
  ['a length with a sign', 'Content-Length: +5\r\n\r\nhello', 'BadContentLength'],
  ['a negative length', 'Content-Length: -1\r\n\r\nhello', 'BadContentLength'],
  ['a length that overflows', 'Content-Length: 18446744073709551621\r\n\r\nhello', 'BadContentLength'],
  ['more than its length', 'Content-Length: 3\r\n\r\nhello', 'UnaskedResponse'],
  ['a second response behind it', 'Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 'UnaskedResponse'],
  ['less than its length', 'Content-Length: 9\r\n\r\nhello', 'Truncated'],
  ['chunks without an end', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n', 'Truncated'],
  ['another coding behind chunked', 'Transfer-Encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n', 'UnsupportedCoding'],
  ['identity', 'Transfer-Encoding: identity\r\n\r\nhello', 'UnsupportedCoding'],
  ['the coding with a vertical tab', 'Transfer-Encoding: \x0bchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', 'BadFieldValue'],
  ['a space before the colon', 'Content-Length : 3\r\n\r\nhello', 'SpaceBeforeColon'],
  ['a fold', 'X: y\r\n Content-Length: 3\r\n\r\nhello', 'ObsFold'],
  ['lines that end with LF', 'Content-Length: 3\n\nhello', 'BareLf'],
  ['a lone CR in a value', 'X: y\rContent-Length: 3\r\n\r\nhello', 'BareCr'],
  ['a NUL in a value', 'X: \0\r\n\r\nhello', 'BadFieldValue'],
  ['a chunk size with a space', 'Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n', 'BadChunkSize'],
  ['a chunk size that ends with LF', 'Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n', 'BareLf'],
  ['a length in the trailers', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n', 'ForbiddenTrailer'],
].map(([name, text, ours]) => ({name: name!, bytes: Buffer.from(`HTTP/1.1 200 OK\r\n${text!}`, 'latin1'), asked: 'GET' as const, ours: ours!})); // prettier-ignore
