/** For the codec's tests: what a parser says about bytes, as one list, however they are cut. Not used by the program. */
import type {CodecLimits} from './limits.ts';
import type {RequestEvent, RequestHead, ResponseEvent, ResponseHead} from './messages.ts';
import {createRequestParser} from './request.ts';
import {createResponseParser} from './response.ts';

export function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** Body chunks that follow each other are one `body`, so that the cut of the bytes does not show. */
export type Said =
  | {readonly kind: 'head'; readonly head: RequestHead | ResponseHead}
  | {readonly kind: 'informational'; readonly head: ResponseHead}
  | {readonly kind: 'body'; readonly text: string}
  | {readonly kind: 'end'; readonly trailers: readonly string[]}
  | {readonly kind: 'bad'; readonly code: string; readonly at: number};

/** No input may make a parser say more than this for each byte and event of it: the proof that it never loops. */
const MAX_EVENTS = 100_000;

/** Adds what is said until 'more' or 'bad'; returns whether it was 'bad'. */
function collect(said: Said[], next: () => RequestEvent | ResponseEvent): boolean {
  for (let events = 0; events < MAX_EVENTS; events++) {
    const event = next();
    switch (event.kind) {
      case 'more':
        return false;
      case 'bad':
        said.push({kind: 'bad', code: event.code, at: event.at});
        return true;
      case 'body': {
        const text = event.chunk.toString('latin1');
        const last = said.at(-1);
        if (last?.kind === 'body') said[said.length - 1] = {kind: 'body', text: last.text + text};
        else said.push({kind: 'body', text});
        break;
      }
      default:
        said.push(event);
    }
  }
  throw new Error('the parser goes on without end');
}

/** All that a request parser says about bytes that arrive in these pieces, read after each or after all of them. */
export function requestsIn(
  pieces: readonly (Buffer | string)[] | string,
  limits: Partial<CodecLimits> = {},
  when: 'read after each' | 'fed first' = 'read after each',
): Said[] {
  const parser = createRequestParser(limits);
  const said: Said[] = [];
  const next = (): RequestEvent => parser.next();
  for (const piece of typeof pieces === 'string' ? [pieces] : pieces) {
    parser.feed(typeof piece === 'string' ? latin1(piece) : piece);
    if (when === 'read after each' && collect(said, next)) return said;
  }
  if (when === 'fed first') collect(said, next);
  return said;
}

export interface Asked {
  readonly method?: string;
  readonly upgrade?: boolean;
}

/** All that a response parser says, asked once for each of `asked` (each after the response before), and then at the end of the connection. */
export function responsesIn(
  pieces: readonly (Buffer | string)[] | string,
  asked: readonly Asked[] = [{}],
  options: {readonly finish?: boolean; readonly limits?: Partial<CodecLimits>} = {},
): Said[] {
  const parser = createResponseParser(options.limits);
  const said: Said[] = [];
  let asking = 0;
  const ask = (): void => {
    const request = asked[asking++];
    if (request !== undefined) parser.expect({method: request.method ?? 'GET', upgrade: request.upgrade ?? false});
  };
  const next = (): ResponseEvent => parser.next();
  ask();
  for (const piece of typeof pieces === 'string' ? [pieces] : pieces) {
    parser.feed(typeof piece === 'string' ? latin1(piece) : piece);
    if (collect(said, next)) return said;
    if (said.at(-1)?.kind === 'end') ask();
  }
  if (options.finish === true && !collect(said, () => parser.finish())) collect(said, next);
  return said;
}

/** What the last thing said is: the code where it is a refusal. */
export function verdict(said: readonly Said[]): string {
  const last = said.at(-1);
  if (last === undefined) return 'more';
  return last.kind === 'bad' ? last.code : last.kind;
}

/** The kinds in order, with the bodies' text and the refusals' codes. */
export function story(said: readonly Said[]): string[] {
  return said.map((one) => {
    if (one.kind === 'body') return `body ${one.text}`;
    if (one.kind === 'bad') return `bad ${one.code}`;
    if (one.kind === 'informational') return `informational ${one.head.status}`;
    return one.kind;
  });
}

/** The first request's head. */
export function requestHead(said: readonly Said[]): RequestHead {
  const first = said[0];
  if (first?.kind !== 'head' || !('method' in first.head))
    throw new Error(`no request head but ${JSON.stringify(first)}`);
  return first.head;
}

/** The first response's head, informational or final. */
export function responseHead(said: readonly Said[]): ResponseHead {
  const first = said[0];
  if ((first?.kind !== 'head' && first?.kind !== 'informational') || !('status' in first.head)) {
    throw new Error(`no response head but ${JSON.stringify(first)}`);
  }
  return first.head;
}
