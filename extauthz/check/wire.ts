/**
 * Protocol buffers by hand, for the one message that every request costs (docs/adr/0012). A reader that stops at the first
 * thing that is wrong, and a writer that writes from the end, so that the length of what is inside is known when it is needed.
 */

/** Reads within one message. Throws RangeError for what ends too early or is no protobuf. */
export class WireReader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Buffer, from: number, end: number) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = end;
  }

  /** The next tag (field << 3 | wire type); 0: the end. */
  tag(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.varint();
    if (tag < 8) throw new RangeError('field number 0');
    return tag;
  }

  /** The low 32 bits; the rest is read and dropped, as protobuf has it for 32-bit fields. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#at >= this.#end) break;
      const byte = this.#bytes[this.#at++]!;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new RangeError('a varint without an end');
  }

  /** A message, a text or bytes: leaves them behind. Their end; they begin where `at` was after the length. */
  #delimited(): number {
    const length = this.varint();
    const end = this.#at + length;
    if (end > this.#end) throw new RangeError('a length beyond the end');
    return end;
  }

  message(): WireReader {
    const end = this.#delimited();
    const inner = new WireReader(this.#bytes, this.#at, end);
    this.#at = end;
    return inner;
  }

  /** UTF-8; nearly always ASCII, which is read without a decoder. */
  text(): string {
    const end = this.#delimited();
    const from = this.#at;
    this.#at = end;
    const text = this.#bytes.toString('latin1', from, end);
    return isAscii(text) ? text : this.#bytes.toString('utf8', from, end);
  }

  /** Bytes as Latin-1 text. */
  latin1(): string {
    const end = this.#delimited();
    const from = this.#at;
    this.#at = end;
    return this.#bytes.toString('latin1', from, end);
  }

  /** Leaves a field behind. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.varint();
        return;
      case 1:
        this.#forward(8);
        return;
      case 2:
        this.#at = this.#delimited();
        return;
      case 5:
        this.#forward(4);
        return;
      default:
        throw new RangeError('no wire type of today');
    }
  }

  #forward(bytes: number): void {
    this.#at += bytes;
    if (this.#at > this.#end) throw new RangeError('a value beyond the end');
  }
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

const FIRST_ROOM_BYTES = 4096;

/** Fields from the last to the first, and a message's fields before the message. */
export class WireWriter {
  #bytes = Buffer.allocUnsafeSlow(FIRST_ROOM_BYTES);
  #at = FIRST_ROOM_BYTES;

  /** Bytes written so far: what a message that begins here has to know. */
  get mark(): number {
    return this.#bytes.length - this.#at;
  }

  /** Makes one field of all that was written since the mark. */
  message(tag: number, since: number): void {
    const length = this.mark - since;
    this.varint(tag, length);
  }

  text(tag: number, text: string): void {
    const length = isAscii(text) ? text.length : Buffer.byteLength(text);
    this.#room(length);
    this.#at -= length;
    this.#bytes.write(text, this.#at, length, length === text.length ? 'latin1' : 'utf8');
    this.varint(tag, length);
  }

  /** A tag and a number below 2^31. */
  varint(tag: number, value: number): void {
    this.#room(10);
    this.#back(value);
    this.#back(tag);
  }

  #back(value: number): void {
    let length = 1;
    for (let rest = value >>> 7; rest !== 0; rest >>>= 7) length++;
    this.#at -= length;
    let at = this.#at;
    for (; value >= 0x80; value >>>= 7) this.#bytes[at++] = (value & 0x7f) | 0x80;
    this.#bytes[at] = value;
  }

  #room(bytes: number): void {
    if (this.#at >= bytes) return;
    const written = this.#bytes.subarray(this.#at);
    const larger = Buffer.allocUnsafeSlow(2 * (this.#bytes.length + bytes));
    written.copy(larger, larger.length - written.length);
    this.#at = larger.length - written.length;
    this.#bytes = larger;
  }

  /** Forgets what was written: an answer that was given up half-way. */
  clear(): void {
    this.#at = this.#bytes.length;
  }

  /** All that was written, and the writer is empty again. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(this.#at));
    if (this.#bytes.length > 16 * FIRST_ROOM_BYTES) this.#bytes = Buffer.allocUnsafeSlow(FIRST_ROOM_BYTES);
    this.#at = this.#bytes.length;
    return taken;
  }
}
