/** What the filters' process says: frames of JSON, forged at will. What it may change of a message, and what it must not. */
import type {FilterVerdict} from '../../../filters/contract.ts';
import {readHostMessage, readVerdict} from '../../../filters/verdict.ts';
import {FrameReader, encodeFrame} from '../../../filters/wire.ts';
import {encodeRequestHead, encodeResponseHead, endToEnd} from '../../../tproxy/http1/index.ts';
import {cutsOf} from '../random.ts';
import {hold, same} from '../target.ts';
import type {Target} from '../target.ts';

const ORIGINAL = ['Host', 'a.test', 'Content-Length', '5', 'X', 'y', 'Connection', 'keep-alive'];
const PROTECTED =
  /^(?:host|content-length|transfer-encoding|trailer|expect|connection|proxy-connection|keep-alive|te|upgrade|http2-settings|proxy-auth.*)$/i;

function messagesIn(pieces: readonly Buffer[]): {messages: unknown[]; error: string | null} {
  const reader = new FrameReader();
  const messages: unknown[] = [];
  try {
    for (const piece of pieces) for (const message of reader.push(piece)) messages.push(message);
  } catch (error) {
    hold(error instanceof RangeError || error instanceof SyntaxError, `thrown: ${String(error)}`);
    return {messages, error: (error as Error).name};
  }
  return {messages, error: null};
}

/** The input is frames as they are on the wire; or, behind an `=`, the text of one message, so that mutations reach the reader. */
function run(input: Buffer): string {
  const bytes = input[0] === 0x3d ? framed(input.subarray(1)) : input;
  const [whole, ...others] = cutsOf(bytes);
  const read = messagesIn(whole!);
  for (const pieces of others) same('how the bytes are cut changes what is read', read, messagesIn(pieces));
  const kinds = read.messages.map((raw) => {
    const message = readHostMessage(raw);
    if (message.kind !== 'verdict') return message.kind;
    const verdict = readVerdict(message.raw, ORIGINAL);
    usable(verdict);
    return verdict.kind === 'failed' ? verdict.message.slice(0, 40) : verdict.kind;
  });
  for (const message of read.messages) same('a frame is not read as it was written', messagesIn([encodeFrame(message as never)]).messages, [message]); // prettier-ignore
  return `${kinds.slice(0, 6).join()} ${read.error}`;
}

function framed(text: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text]);
}

/** Whatever was believed can be written as HTTP, and is framed by nobody but us. */
function usable(verdict: FilterVerdict): void {
  if (verdict.kind === 'failed') return;
  if (verdict.kind === 'continue') {
    const guarded = (lines: readonly string[]): string[] =>
      lines.flatMap((name, i) => (i % 2 === 0 && PROTECTED.test(name) ? [name.toLowerCase(), lines[i + 1]!] : []));
    same('a protected field was changed', guarded(verdict.headers), guarded(ORIGINAL));
    encodeRequestHead({method: 'GET', target: '/', authority: 'a.test', headers: endToEnd(verdict.headers), framing: {kind: 'none'}}); // prettier-ignore
    return;
  }
  const {status, headers, body} = verdict.response;
  const bytes = Buffer.byteLength(body);
  const bodiless = status === 204 || status === 304;
  encodeResponseHead({status, headers, framing: bodiless ? {kind: 'none'} : {kind: 'length', bytes}});
}

export const FILTER_FRAMES: Target = {
  name: 'filter-frames',
  reads: 'what the process of script filters answers',
  covers: ['/filters/verdict', '/filters/wire', '/filters/field-rules'],
  dictionary: ['=', '{"kind":"continue","id":1,"headers":', '["Host","a.test","Content-Length","5","X","z","Connection","keep-alive"]', '"filter":"a.ts"', '"kind":"answered"', '"response":{"status":418,"headers":["x","y"],"body":"no"}', '"id":1', '"status":200', '"status":204', '"status":101', '"headers":[]', '"body":""', 'null', '[]', '{}', '"Host"', '"Transfer-Encoding","chunked"', '"content-length","0"', '"x\\r\\ny"', '"\\u0000"', '"\\ud800"', '"\\u0130"', '"\\u212a"', '"__proto__":', '"kind":"loaded","filters":[]', '"kind":"failed","message":"x"', ',', ':', '{', '}', '"', '\0\0\0\0', '\x02\0\0\0{}', '\xff\xff\xff\xff', '1e999', '-0', '0.5'], // prettier-ignore
  seeds: [
    '={"kind":"continue","id":1,"headers":["Host","a.test","Content-Length","5","X","z","Connection","keep-alive"],"filter":"a.ts"}',
    '={"kind":"continue","id":1,"headers":null,"filter":"a.ts"}',
    '={"kind":"answered","id":1,"filter":"a.ts","response":{"status":418,"headers":["content-type","text/plain"],"body":"no"}}',
    '={"kind":"loaded","filters":[{"name":"a.ts","request":true,"response":false}]}',
    '={"kind":"failed","id":1,"filter":"a.ts","message":"it threw"}',
    Buffer.concat([framed(Buffer.from('{"kind":"loading","file":"a.ts"}')), framed(Buffer.from('[]'))]),
  ],
  maxBytes: 800,
  run,
};
