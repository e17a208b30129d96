/** The codec's requests: bytes of a client to heads, bodies and ends. */
import {
  encodeChunk,
  encodeLastChunk,
  encodeRequestHead,
  endToEnd,
  createRequestParser,
} from '../../../tproxy/http1/index.ts';
import type {RequestHead} from '../../../tproxy/http1/index.ts';
import {requestsIn} from '../../../tproxy/http1/test-support.ts';
import type {Said} from '../../../tproxy/http1/test-support.ts';
import {HTTP_WORDS} from '../http-words.ts';
import {cutsOf} from '../random.ts';
import {hold, same} from '../target.ts';
import type {Target} from '../target.ts';

/** Small ones, so that small inputs come to them. */
export const TIGHT_LIMITS = {maxHeadBytes: 400, maxHeaders: 8, maxTargetBytes: 60, maxTrailerBytes: 80, maxChunkLineBytes: 24, maxChunkExtensionBytes: 30}; // prettier-ignore

function run(input: Buffer): string {
  const [whole, ...others] = cutsOf(input);
  const said = requestsIn(whole!, TIGHT_LIMITS);
  for (const pieces of others) {
    same('how the bytes are cut changes what is read', said, requestsIn(pieces, TIGHT_LIMITS));
    same(
      'reading after each piece differs from reading at the end',
      said,
      requestsIn(pieces, TIGHT_LIMITS, 'fed first'),
    );
  }
  bounded(input, others.at(-1)!);
  writtenAgain(said);
  return kindOf(said);
}

/** What is not read yet is the end of what was given, and never more than the longest section. */
function bounded(input: Buffer, pieces: readonly Buffer[]): void {
  const parser = createRequestParser(TIGHT_LIMITS);
  for (const piece of pieces) {
    parser.feed(piece);
    for (let event = parser.next(); event.kind !== 'more'; event = parser.next()) if (event.kind === 'bad') return;
  }
  const rest = parser.rest();
  hold(rest.length <= TIGHT_LIMITS.maxHeadBytes, `${rest.length} bytes are held`);
  hold(rest.equals(input.subarray(input.length - rest.length)), 'what is left is not the end of what was given');
}

/** Each message that was read, written by the encoder and read again. */
function writtenAgain(said: readonly Said[]): void {
  for (const {head, body, trailers} of messagesOf(said)) {
    if (!('method' in head)) continue;
    const again = requestsIn([encoded(head, body, trailers)]);
    const [first] = messagesOf(again);
    hold(first !== undefined && again.at(-1)?.kind === 'end', `what is written is not read: ${JSON.stringify(again)}`);
    const read = first!.head as RequestHead;
    same('method, target and Host', [read.method, read.target, read.form], [head.method, head.target, head.form]);
    same('fields', endToEnd(read.headers), endToEnd(head.headers));
    same('body and trailers', [first!.body, first!.trailers], [body, trailers]);
    same('framing', read.framing, head.framing);
  }
}

function encoded(head: RequestHead, body: string, trailers: readonly string[]): Buffer {
  const authority = head.form === 'authority' ? head.target : (head.host ?? 'none.test');
  const {framing} = head;
  if (framing.kind === 'close') throw new Error('a request that ends with its connection');
  const bytes = Buffer.from(body, 'latin1');
  const parts = {method: head.method, target: head.target, authority, headers: endToEnd(head.headers), framing};
  const upgrade = head.upgrade[0];
  const text = encodeRequestHead(upgrade === undefined || framing.kind !== 'none' ? parts : {...parts, upgrade});
  if (framing.kind !== 'chunked') return Buffer.concat([text, bytes]);
  return Buffer.concat([text, ...(bytes.length > 0 ? [encodeChunk(bytes)] : []), encodeLastChunk(trailers)]);
}

interface Message {
  readonly head: Extract<Said, {kind: 'head'}>['head'];
  body: string;
  trailers: readonly string[];
}

/** The whole ones. */
export function messagesOf(said: readonly Said[]): Message[] {
  const messages: Message[] = [];
  let open: Message | null = null;
  for (const one of said) {
    if (one.kind === 'head') open = {head: one.head, body: '', trailers: []};
    else if (one.kind === 'body') open!.body += one.text;
    else if (one.kind === 'end') {
      open!.trailers = one.trailers;
      messages.push(open!);
    }
  }
  return messages;
}

/** The kinds of what was said, in order, with what frames it. */
export function kindOf(said: readonly Said[]): string {
  return said
    .slice(0, 8)
    .map((one) => {
      if (one.kind === 'bad') return one.code;
      return one.kind === 'head' ? `${one.head.framing.kind}${one.head.keepAlive ? '' : '!'}` : one.kind[0];
    })
    .join(' ');
}

export const HTTP1_REQUEST: Target = {
  name: 'http1-request',
  reads: 'requests, HTTP/1',
  covers: ['/tproxy/http1/'],
  dictionary: HTTP_WORDS,
  seeds: [
    'GET /a?b HTTP/1.1\r\nHost: a.test\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: b.test\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a="b"\r\nhello\r\n0\r\nX: y\r\n\r\n',
    'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n',
    'GET http://a.test/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    'OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\n\r\n',
  ],
  maxBytes: 1_200,
  run,
};
