import {BodyReader, MORE} from './body.ts';
import {CR, HASH, LF, SP, TARGET, TOKEN} from './chars.ts';
import {malformed} from './codes.ts';
import type {MalformedCode} from './codes.ts';
import {FieldSection} from './fields.ts';
import {NO_BODY, requestFraming} from './framing.ts';
import {connectionOptions, getAll, judgeConnection, listOf} from './headers.ts';
import {DEFAULT_LIMITS} from './limits.ts';
import type {CodecLimits} from './limits.ts';
import type {Framing, Malformed, RequestEvent, RequestHead, RequestParser} from './messages.ts';
import {ByteSource, NEED_MORE, TOO_LONG} from './source.ts';
import {isAuthority, targetForm} from './target.ts';
import {isProtocolList} from './upgrade.ts';
import {readVersion, VERSION_BYTES} from './version.ts';

/** A parser of one client's requests. Strict RFC 9112: what two readers could take differently is refused. */
export function createRequestParser(limits: Partial<CodecLimits> = {}): RequestParser {
  return new Requests({...DEFAULT_LIMITS, ...limits});
}

class Requests implements RequestParser {
  private readonly limits: CodecLimits;
  private readonly source = new ByteSource();
  private readonly body: BodyReader;
  private readonly fields = new FieldSection();
  /**
   * `boundary`: before a message; `line`: after the one empty line that may precede it; `head`; `body`;
   * `over`: after a message that closes the connection, or after rest(); `bad`.
   */
  private state: 'boundary' | 'line' | 'head' | 'body' | 'over' | 'bad' = 'boundary';
  private refusal: Malformed | null = null;
  private keepAlive = true;
  /** Of the request line, relative to the head's start. */
  private methodEnd = 0;
  private targetEnd = 0;
  private version: '1.0' | '1.1' = '1.1';
  /** Where the field line begins that is read next, relative to the head's start. */
  private lineStart = 0;

  constructor(limits: CodecLimits) {
    this.limits = limits;
    this.body = new BodyReader(this.source, limits);
  }

  feed(chunk: Buffer): void {
    // RFC 9112 §9.6: after `Connection: close` nothing that the client sends is looked at any more.
    if (this.state !== 'over' && this.state !== 'bad') this.source.feed(chunk);
  }

  next(): RequestEvent {
    switch (this.state) {
      case 'boundary':
        return this.boundary();
      case 'line':
        return this.requestLine();
      case 'head':
        return this.fieldLines();
      case 'body': {
        const event = this.body.next();
        if (event.kind === 'bad') return this.fail(event);
        if (event.kind === 'end') this.ended();
        return event;
      }
      case 'over':
        return MORE;
      case 'bad':
        return this.refusal!;
    }
  }

  atBoundary(): boolean {
    if (this.state === 'over') return true;
    return (this.state === 'boundary' || this.state === 'line') && this.source.empty;
  }

  rest(): Buffer {
    if (this.state === 'bad') return Buffer.alloc(0);
    this.state = 'over';
    return this.source.drain();
  }

  /**
   * RFC 9112 §2.2: an empty line before the request line SHOULD be ignored, for old clients sent one after a POST.
   * Exactly one CRLF is; a second is as good as any other garbage between messages.
   */
  private boundary(): RequestEvent {
    const {source} = this;
    const first = source.peek();
    if (first === NEED_MORE) return MORE;
    if (first === CR || first === LF) {
      const lf = source.line(2);
      if (lf === NEED_MORE) return MORE;
      if (lf === TOO_LONG) return this.refuse('BareCr', source.start);
      if (lf === source.start) return this.refuse('BareLf', lf);
      source.consume(lf + 1);
    }
    this.state = 'line';
    return this.requestLine();
  }

  private requestLine(): RequestEvent {
    const {source} = this;
    if (source.empty) return MORE;
    const lf = source.line(this.limits.maxHeadBytes);
    if (lf === NEED_MORE) return MORE;
    if (lf === TOO_LONG) return this.refuse('HeadTooLarge', source.start + this.limits.maxHeadBytes);
    const {bytes, start} = source;
    const to = lf - 1;
    if (to < start || bytes[to] !== CR) return this.refuse('BareLf', lf);

    let i = start;
    while (i < to && TOKEN[bytes[i]!] === 1) i++;
    if (i === start || i === to || bytes[i] !== SP) {
      if (i < to && bytes[i] === CR) return this.refuse('BareCr', i);
      return this.refuse(i === start || i === to ? 'BadRequestLine' : 'BadMethod', i);
    }
    if (i - start > this.limits.maxMethodBytes) return this.refuse('BadMethod', start);
    this.methodEnd = i - start;

    const target = i + 1;
    i = target;
    while (i < to && TARGET[bytes[i]!] === 1) i++;
    if (i < to && bytes[i] !== SP) {
      if (bytes[i] === HASH) return this.refuse('FragmentInTarget', i);
      return this.refuse(bytes[i] === CR ? 'BareCr' : 'BadTarget', i);
    }
    if (i === target) return this.refuse('BadRequestLine', i);
    if (i - target > this.limits.maxTargetBytes)
      return this.refuse('TargetTooLong', target + this.limits.maxTargetBytes);
    // Without a version it is an HTTP/0.9 request: no fields, so no Host, so nothing to judge it by.
    if (i === to) return this.refuse('BadVersion', i);
    this.targetEnd = i - start;

    const version = to - i - 1 === VERSION_BYTES ? readVersion(bytes, i + 1) : null;
    if (version === null) return this.refuse('BadVersion', i + 1);
    this.version = version;

    this.lineStart = lf + 1 - start;
    this.fields.reset();
    this.state = 'head';
    return this.fieldLines();
  }

  private fieldLines(): RequestEvent {
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

  /** The head is whole: `text` is it, the body begins at index `next`. What is wrong now is wrong with the head, at its start. */
  private whole(text: string, next: number): RequestEvent {
    const {fields, version, source} = this;
    const method = text.slice(0, this.methodEnd);
    const target = text.slice(this.methodEnd + 1, this.targetEnd);
    const headers = fields.lines(text);

    const form = targetForm(method, target);
    if (form === null) return this.refuse('BadTargetForm', source.start + this.methodEnd + 1);

    const host = fields.host < 0 ? null : headers[2 * fields.host + 1]!;
    if (host === null) {
      if (version === '1.1') return this.refuse('MissingHost', source.start);
    } else if (!isAuthority(host, 0, host.length, 'optional')) {
      return this.refuse('BadHost', source.start);
    }

    const verdict = requestFraming({
      version,
      method,
      contentLength: fields.contentLength < 0 ? null : headers[2 * fields.contentLength + 1]!,
      transferEncoding: fields.transferEncoding < 0 ? null : headers[2 * fields.transferEncoding + 1]!,
    });
    if (verdict.kind === 'refused') return this.refuse(verdict.code, source.start);
    const {framing} = verdict;

    const options = fields.connection ? connectionOptions(headers) : NO_OPTIONS;
    const refused = judgeConnection(options);
    if (refused !== null) return this.refuse(refused, source.start);

    // RFC 9110 §7.8: Upgrade counts only where Connection names it, and never in HTTP/1.0.
    const asks = fields.upgrade && version === '1.1' && options.includes('upgrade');
    const upgrade = asks ? listOf(headers, 'upgrade') : NO_OPTIONS;
    if (asks && !isProtocolList(upgrade)) return this.refuse('BadUpgrade', source.start);
    if (asks && !hasNoBytes(framing)) return this.refuse('UpgradeWithBody', source.start);

    // RFC 9110 §10.1.1: an expectation in HTTP/1.0 is ignored.
    const expectations = fields.expect && version === '1.1' ? getAll(headers, 'expect') : NO_OPTIONS;
    const expectContinue = expectations.length === 1 && expectations[0]!.toLowerCase() === '100-continue';

    const close = options.includes('close');
    // RFC 9112 §9.3: HTTP/1.0 keep-alive is honoured, but not from a client that takes us for its proxy.
    const keepAlive =
      version === '1.1'
        ? !close
        : !close && options.includes('keep-alive') && (form === 'origin' || form === 'asterisk');

    const head: RequestHead = {
      method,
      target,
      form,
      version,
      headers,
      host,
      framing,
      keepAlive,
      upgrade,
      expectContinue,
      expectUnknown: expectations.length > 0 && !expectContinue,
    };
    source.consume(next);
    this.keepAlive = keepAlive;
    this.body.begin(framing);
    this.state = 'body';
    return {kind: 'head', head};
  }

  private ended(): void {
    if (this.keepAlive) {
      this.state = 'boundary';
      return;
    }
    this.source.drain();
    this.state = 'over';
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

function hasNoBytes(framing: Framing): boolean {
  return framing === NO_BODY || (framing.kind === 'length' && framing.bytes === 0);
}
