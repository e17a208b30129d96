import {BodyReader, MORE} from './body.ts';
import {CR, SP, VALUE} from './chars.ts';
import {malformed} from './codes.ts';
import type {MalformedCode} from './codes.ts';
import {FieldSection} from './fields.ts';
import {responseFraming} from './framing.ts';
import {connectionOptions, judgeConnection, listOf} from './headers.ts';
import {DEFAULT_LIMITS} from './limits.ts';
import type {CodecLimits} from './limits.ts';
import type {Malformed, ResponseEvent, ResponseHead, ResponseParser} from './messages.ts';
import {ByteSource, NEED_MORE, TOO_LONG} from './source.ts';
import {isProtocolList} from './upgrade.ts';
import {readVersion, VERSION_BYTES} from './version.ts';

/** "HTTP/1.1 200" */
const STATUS_AT = VERSION_BYTES + 1;
const STATUS_END = STATUS_AT + 3;

/**
 * A parser of one server's responses, framed as strictly as requests are: what a server sends twice, or unasked, would
 * be another client's answer on a reused connection.
 */
export function createResponseParser(limits: Partial<CodecLimits> = {}): ResponseParser {
  return new Responses({...DEFAULT_LIMITS, ...limits});
}

class Responses implements ResponseParser {
  private readonly limits: CodecLimits;
  private readonly source = new ByteSource();
  private readonly body: BodyReader;
  private readonly fields = new FieldSection();
  /** `idle`: nothing was asked; `line`, `head`, `body`: in a response; `over`: a tunnel, after rest() or after the end; `bad`. */
  private state: 'idle' | 'line' | 'head' | 'body' | 'over' | 'bad' = 'idle';
  private refusal: Malformed | null = null;
  /** What was asked. */
  private method = '';
  private upgrade = false;
  private informational = 0;
  /** Whether the body is followed by a tunnel. */
  private tunnel = false;
  private ended = false;
  private version: '1.0' | '1.1' = '1.1';
  private status = 0;
  private lineStart = 0;

  constructor(limits: CodecLimits) {
    this.limits = limits;
    this.body = new BodyReader(this.source, limits);
  }

  expect(request: {readonly method: string; readonly upgrade: boolean}): void {
    if (this.state === 'bad' || this.state === 'over') return;
    if (this.state !== 'idle')
      throw new Error('expect() in the middle of a response: one request at a time on a connection');
    // Bytes that were there before the request was sent cannot be its answer (response queue poisoning).
    if (!this.source.empty) {
      this.refuse('UnaskedResponse', this.source.start);
      return;
    }
    this.method = request.method;
    this.upgrade = request.upgrade;
    this.informational = 0;
    this.tunnel = false;
    this.state = 'line';
  }

  feed(chunk: Buffer): void {
    if (this.state !== 'bad') this.source.feed(chunk);
  }

  next(): ResponseEvent {
    switch (this.state) {
      case 'idle':
        return this.source.empty ? MORE : this.refuse('UnaskedResponse', this.source.start);
      case 'line':
        return this.statusLine();
      case 'head':
        return this.fieldLines();
      case 'body':
        return this.bodyEvent();
      case 'over':
        return MORE;
      case 'bad':
        return this.refusal!;
    }
  }

  finish(): ResponseEvent {
    this.ended = true;
    const event = this.next();
    if (event.kind !== 'more') return event;
    switch (this.state) {
      case 'idle':
      case 'over':
        return MORE;
      case 'line':
        // Whoever reused the connection may want to know that not a byte came (RFC 9112 §9.3.1).
        return this.refuse(
          this.source.empty && this.informational === 0 ? 'NoResponse' : 'Truncated',
          this.source.start,
        );
      case 'head':
      case 'body':
        return this.refuse('Truncated', this.source.start);
      case 'bad':
        return this.refusal!;
    }
  }

  rest(): Buffer {
    if (this.state === 'bad') return Buffer.alloc(0);
    this.state = 'over';
    return this.source.drain();
  }

  private bodyEvent(): ResponseEvent {
    const event = this.body.next();
    switch (event.kind) {
      case 'bad':
        return this.fail(event);
      case 'end':
        this.state = this.tunnel ? 'over' : 'idle';
        return event;
      case 'more':
        if (!this.ended || !this.body.endsWithConnection) return event;
        this.state = 'over';
        return {kind: 'end', trailers: []};
      case 'body':
        return event;
    }
  }

  /** HTTP-version SP status-code SP [reason-phrase] CRLF (RFC 9112 §4). */
  private statusLine(): ResponseEvent {
    const {source} = this;
    if (source.empty) return MORE;
    const lf = source.line(this.limits.maxHeadBytes);
    if (lf === NEED_MORE) return MORE;
    if (lf === TOO_LONG) return this.refuse('HeadTooLarge', source.start + this.limits.maxHeadBytes);
    const {bytes, start} = source;
    const to = lf - 1;
    if (to < start || bytes[to] !== CR) return this.refuse('BareLf', lf);
    const length = to - start;
    if (length < VERSION_BYTES) return this.refuse('BadStatusLine', start);
    const version = readVersion(bytes, start);
    if (version === null) return this.refuse('BadVersion', start);
    // The SP after the code is REQUIRED even without a reason; many servers leave it out, and nobody reads that differently.
    if (
      length < STATUS_END ||
      bytes[start + VERSION_BYTES] !== SP ||
      (length > STATUS_END && bytes[start + STATUS_END] !== SP)
    ) {
      return this.refuse('BadStatusLine', start);
    }
    let status = 0;
    for (let i = start + STATUS_AT; i < start + STATUS_END; i++) {
      const digit = bytes[i]! - 0x30;
      if (digit < 0 || digit > 9) return this.refuse('BadStatusLine', i);
      status = status * 10 + digit;
    }
    if (status < 100 || status > 599) return this.refuse('BadStatus', start + STATUS_AT);
    for (let i = start + STATUS_END; i < to; i++) {
      if (VALUE[bytes[i]!] !== 1) return this.refuse(bytes[i] === CR ? 'BareCr' : 'BadStatusLine', i);
    }
    this.version = version;
    this.status = status;
    this.lineStart = lf + 1 - start;
    this.fields.reset();
    this.state = 'head';
    return this.fieldLines();
  }

  private fieldLines(): ResponseEvent {
    const {source, fields, limits} = this;
    for (;;) {
      const lf = source.line(limits.maxHeadBytes);
      if (lf === NEED_MORE) return MORE;
      if (lf === TOO_LONG) return this.refuse('HeadTooLarge', source.start + limits.maxHeadBytes);
      const {bytes, start} = source;
      const from = start + this.lineStart;
      const to = lf - 1;
      if (to < from || bytes[to] !== CR) return this.refuse('BareLf', lf);
      if (to === from) return this.whole(bytes.toString('latin1', start, to), lf + 1);
      if (fields.count === limits.maxHeaders) return this.refuse('TooManyHeaders', from);
      const refused = fields.add(bytes, start, from, to);
      if (refused !== null) return this.refuse(refused, fields.refusedAt);
      this.lineStart = lf + 1 - start;
    }
  }

  private whole(text: string, next: number): ResponseEvent {
    const {fields, version, status, source} = this;
    const headers = fields.lines(text);
    const verdict = responseFraming(
      {
        version,
        status,
        contentLength: fields.contentLength < 0 ? null : headers[2 * fields.contentLength + 1]!,
        transferEncoding: fields.transferEncoding < 0 ? null : headers[2 * fields.transferEncoding + 1]!,
      },
      this.method,
    );
    if (verdict.kind === 'refused') return this.refuse(verdict.code, source.start);
    const {framing} = verdict;

    const options = fields.connection ? connectionOptions(headers) : NO_OPTIONS;
    const refused = judgeConnection(options);
    if (refused !== null) return this.refuse(refused, source.start);

    if (status < 200 && version === '1.0') return this.refuse('InformationalInHttp10', source.start);
    if (status === 101) {
      if (!this.upgrade) return this.refuse('UnaskedSwitch', source.start);
      if (!fields.upgrade || !isProtocolList(listOf(headers, 'upgrade'))) return this.refuse('BadSwitch', source.start);
    }
    const tunnel = status === 101 || (this.method === 'CONNECT' && status >= 200 && status < 300);
    const close = options.includes('close');
    const persistent = version === '1.1' ? !close : !close && options.includes('keep-alive');

    const head: ResponseHead = {
      status,
      reasonPhrase: reasonOf(text),
      version,
      headers,
      framing,
      keepAlive: persistent && framing.kind !== 'close' && !tunnel,
    };
    if (status < 200 && status !== 101) {
      if (this.informational === this.limits.maxInformational) return this.refuse('TooManyInformational', source.start);
      this.informational++;
      source.consume(next);
      this.state = 'line';
      return {kind: 'informational', head};
    }
    source.consume(next);
    this.tunnel = tunnel;
    this.body.begin(framing);
    this.state = 'body';
    return {kind: 'head', head};
  }

  private refuse(code: MalformedCode, index: number): Malformed {
    return this.fail(malformed(code, this.source.offsetOf(index)));
  }

  private fail(refusal: Malformed): Malformed {
    this.refusal = refusal;
    this.state = 'bad';
    return refusal;
  }
}

const NO_OPTIONS: readonly string[] = [];

/** What follows the code on the status line, without the SP. */
function reasonOf(text: string): string {
  const lineEnd = text.indexOf('\r');
  return text.slice(STATUS_END + 1, lineEnd < 0 ? text.length : lineEnd);
}
