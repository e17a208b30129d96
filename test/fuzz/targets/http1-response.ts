/** The codec's responses: bytes of a server, read as the answer to what was asked. The first byte says what was. */
import {
  encodeChunk,
  encodeLastChunk,
  encodeResponseHead,
  endToEnd,
  createResponseParser,
} from '../../../tproxy/http1/index.ts';
import type {ResponseHead} from '../../../tproxy/http1/index.ts';
import {responsesIn} from '../../../tproxy/http1/test-support.ts';
import type {Asked, Said} from '../../../tproxy/http1/test-support.ts';
import {HTTP_WORDS} from '../http-words.ts';
import {cutsOf} from '../random.ts';
import {hold, same} from '../target.ts';
import type {Target} from '../target.ts';
import {TIGHT_LIMITS, kindOf, messagesOf} from './http1-request.ts';

const ASKED: readonly Asked[] = [
  {method: 'GET'},
  {method: 'HEAD'},
  {method: 'CONNECT'},
  {method: 'GET', upgrade: true},
  {method: 'POST'},
];
const LIMITS = {...TIGHT_LIMITS, maxInformational: 3};

function run(input: Buffer): string {
  const asked = ASKED[(input[0] ?? 0) % ASKED.length]!;
  const bytes = input.subarray(1);
  const [whole, ...others] = cutsOf(bytes);
  const read = (pieces: readonly Buffer[]): Said[] => responsesIn(pieces, [asked], {finish: true, limits: LIMITS});
  const said = read(whole!);
  for (const pieces of others) same('how the bytes are cut changes what is read', said, read(pieces));
  hold(said.length > 0, 'a response that ends says nothing');
  bounded(bytes, others.at(-1)!, asked);
  writtenAgain(said, asked);
  return `${asked.method}${asked.upgrade === true ? '+' : ''} ${kindOf(said)}`;
}

/** What is not read yet is the end of what was given, and never more than the longest section, but for a tunnel's bytes. */
function bounded(bytes: Buffer, pieces: readonly Buffer[], {method = 'GET', upgrade = false}: Asked): void {
  const parser = createResponseParser(LIMITS);
  parser.expect({method, upgrade});
  let ended = false;
  for (const piece of pieces) {
    parser.feed(piece);
    for (let event = parser.next(); event.kind !== 'more'; event = parser.next()) {
      if (event.kind === 'bad') return;
      ended ||= event.kind === 'end';
    }
  }
  const rest = parser.rest();
  hold(ended || rest.length <= LIMITS.maxHeadBytes, `${rest.length} bytes are held`);
  hold(rest.equals(bytes.subarray(bytes.length - rest.length)), 'what is left is not the end of what was given');
}

function writtenAgain(said: readonly Said[], asked: Asked): void {
  for (const {head, body, trailers} of messagesOf(said)) {
    if ('method' in head) continue;
    const again = responsesIn([encoded(head, body, trailers)], [asked], {finish: true});
    const [first] = messagesOf(again);
    hold(first !== undefined && again.at(-1)?.kind === 'end', `what is written is not read: ${JSON.stringify(again)}`);
    const read = first!.head as ResponseHead;
    same('status and reason', [read.status, read.reasonPhrase], [head.status, head.reasonPhrase.trim()]);
    const lengthTold = toldLength(head);
    same('fields', endToEnd(read.headers, lengthTold), endToEnd(head.headers, lengthTold));
    same('body and trailers', [first!.body, first!.trailers], [body, trailers]);
    same('framing', read.framing, head.framing);
  }
}

/** Answers to HEAD and 304 tell a length without a body. */
function toldLength({framing, status}: ResponseHead): boolean {
  return framing.kind === 'none' && status >= 200 && status !== 204;
}

function encoded(head: ResponseHead, body: string, trailers: readonly string[]): Buffer {
  const {status, framing} = head;
  const bytes = Buffer.from(body, 'latin1');
  const upgrade = status === 101 ? head.headers[head.headers.findIndex((name) => name.toLowerCase() === 'upgrade') + 1]!.split(',').find((one) => one.trim() !== '')!.trim() : null; // prettier-ignore
  const text = encodeResponseHead({
    status,
    reasonPhrase: head.reasonPhrase.trim(),
    headers: endToEnd(head.headers, toldLength(head)),
    framing,
    upgrade,
  });
  if (framing.kind !== 'chunked') return Buffer.concat([text, bytes]);
  return Buffer.concat([text, ...(bytes.length > 0 ? [encodeChunk(bytes)] : []), encodeLastChunk(trailers)]);
}

export const HTTP1_RESPONSE: Target = {
  name: 'http1-response',
  reads: 'responses, HTTP/1, to GET, HEAD, CONNECT and upgrades',
  covers: ['/tproxy/http1/'],
  dictionary: HTTP_WORDS,
  seeds: ASKED.flatMap((_asked, i) =>
    [
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
      'HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n',
      'HTTP/1.0 200 OK\r\n\r\nuntil the end',
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
      'HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nframes',
      'HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n',
    ].map((text) => String.fromCharCode(i) + text),
  ),
  maxBytes: 1_200,
  run,
};
