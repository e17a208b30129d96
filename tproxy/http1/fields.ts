import {COLON, CR, HTAB, SP, TOKEN, VALUE} from './chars.ts';
import type {MalformedCode} from './codes.ts';

/** The fields that frame or route a message; everything else is text to the codec. */
const HOST_NAME = Buffer.from('host');
const EXPECT = Buffer.from('expect');
const UPGRADE = Buffer.from('upgrade');
const CONNECTION = Buffer.from('connection');
const CONTENT_LENGTH = Buffer.from('content-length');
const TRANSFER_ENCODING = Buffer.from('transfer-encoding');

const HYPHEN = 0x2d;
const UNDERSCORE = 0x5f;

/** The numbers that stand for a field: where its name and value are, relative to the section. */
const SPOTS = 4;

/**
 * The field lines of one head or trailer section (RFC 9112 §5). Lines are judged on their bytes and remembered as
 * offsets; text is made once, when the section is whole, so that a refused head costs no strings.
 */
export class FieldSection {
  /** Index of the field line, or -1. A second Host, Content-Length or Transfer-Encoding line is refused at once. */
  host = -1;
  contentLength = -1;
  transferEncoding = -1;
  /** These may come in several lines. */
  connection = false;
  upgrade = false;
  expect = false;
  count = 0;
  /** Where, in the bytes given to add(), the line it refused is wrong. */
  refusedAt = 0;
  private spots: number[] = [];

  reset(): void {
    this.host = -1;
    this.contentLength = -1;
    this.transferEncoding = -1;
    this.connection = false;
    this.upgrade = false;
    this.expect = false;
    this.count = 0;
  }

  /** Judges the line in `bytes` from `from` to its CR at `to`; `base` is where the section begins. */
  add(bytes: Buffer, base: number, from: number, to: number): MalformedCode | null {
    const first = bytes[from]!;
    // Before the first field line it would be read as part of the start line, later as a continuation (RFC 9112 §2.2, §5.2).
    if (first === SP || first === HTAB) return this.refuse('ObsFold', from);
    let colon = from;
    while (colon < to && TOKEN[bytes[colon]!] === 1) colon++;
    if (colon === to) return this.refuse('MissingColon', from);
    const stop = bytes[colon]!;
    if (stop !== COLON) {
      if (stop === CR) return this.refuse('BareCr', colon);
      return this.refuse(stop === SP || stop === HTAB ? 'SpaceBeforeColon' : 'BadFieldName', colon);
    }
    if (colon === from) return this.refuse('EmptyFieldName', from);

    for (let i = colon + 1; i < to; i++) {
      if (VALUE[bytes[i]!] !== 1) return this.refuse(bytes[i] === CR ? 'BareCr' : 'BadFieldValue', i);
    }
    let valueFrom = colon + 1;
    while (valueFrom < to && isBlank(bytes[valueFrom]!)) valueFrom++;
    let valueTo = to;
    while (valueTo > valueFrom && isBlank(bytes[valueTo - 1]!)) valueTo--;

    const spot = this.count * SPOTS;
    this.spots[spot] = from - base;
    this.spots[spot + 1] = colon - base;
    this.spots[spot + 2] = valueFrom - base;
    this.spots[spot + 3] = valueTo - base;
    const repeated = this.note(bytes, from, colon - from);
    this.count++;
    return repeated === null ? null : this.refuse(repeated, from);
  }

  /** The lines as text: name, value, name, value ... `text` is the section as Latin-1. */
  lines(text: string): string[] {
    const lines: string[] = [];
    const end = this.count * SPOTS;
    for (let spot = 0; spot < end; spot += SPOTS) {
      lines.push(
        text.slice(this.spots[spot], this.spots[spot + 1]),
        text.slice(this.spots[spot + 2], this.spots[spot + 3]),
      );
    }
    return lines;
  }

  private refuse(code: MalformedCode, at: number): MalformedCode {
    this.refusedAt = at;
    return code;
  }

  private note(bytes: Buffer, from: number, length: number): MalformedCode | null {
    switch (length) {
      case HOST_NAME.length:
        if (!isName(bytes, from, HOST_NAME)) return null;
        if (this.host >= 0) return 'DuplicateHost';
        this.host = this.count;
        return null;
      case CONTENT_LENGTH.length:
        if (!isName(bytes, from, CONTENT_LENGTH)) return looksLike(bytes, from, CONTENT_LENGTH);
        if (this.contentLength >= 0) return 'DuplicateContentLength';
        this.contentLength = this.count;
        return null;
      case TRANSFER_ENCODING.length:
        if (!isName(bytes, from, TRANSFER_ENCODING)) return looksLike(bytes, from, TRANSFER_ENCODING);
        if (this.transferEncoding >= 0) return 'DuplicateTransferEncoding';
        this.transferEncoding = this.count;
        return null;
      case CONNECTION.length:
        this.connection ||= isName(bytes, from, CONNECTION);
        return null;
      case UPGRADE.length:
        this.upgrade ||= isName(bytes, from, UPGRADE);
        return null;
      case EXPECT.length:
        this.expect ||= isName(bytes, from, EXPECT);
        return null;
      default:
        return null;
    }
  }
}

/** What a server that makes variables of field names (CGI, RFC 3875 §4.1.18) cannot tell from the framing field. */
function looksLike(bytes: Buffer, from: number, name: Buffer): 'FramingLookalike' | null {
  for (let i = 0; i < name.length; i++) {
    const byte = bytes[from + i]!;
    if ((byte | 0x20) !== name[i] && !(byte === UNDERSCORE && name[i] === HYPHEN)) return null;
  }
  return 'FramingLookalike';
}

function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}

/** Whether the bytes are `name` in any letter case. `name` is lower-case letters and hyphens; the bytes are token characters. */
function isName(bytes: Buffer, from: number, name: Buffer): boolean {
  for (let i = 0; i < name.length; i++) {
    // 0x20 makes letters lower-case. It would also map CR to '-' (0x0d | 0x20 = 0x2d), but no token holds a CR.
    if ((bytes[from + i]! | 0x20) !== name[i]) return false;
  }
  return true;
}
