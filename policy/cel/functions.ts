/** The functions of conditions: a closed set, each with its cost. What is not here is refused at load. */
import {int64, isList, isMap, keysOf, spend, spendOnSearch, spendOnText, UNKNOWN} from './values.ts';
import type {Frame, Value} from './values.ts';

type Function = (frame: Frame, receiver: Value, args: readonly Value[]) => Value;

/** CEL counts code points, not UTF-16 units. */
function codePoints(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length - 1; i++) if ((text.charCodeAt(i) & 0xfc00) === 0xd800) count--;
  return count;
}

function size(frame: Frame, value: Value): Value {
  if (typeof value === 'string') {
    spendOnText(frame, value.length);
    return BigInt(codePoints(value));
  }
  if (isList(value)) return BigInt(value.length);
  if (!isMap(value)) return UNKNOWN;
  return BigInt(value instanceof Map ? value.size : keysOf(value).length);
}

/** Only A to Z and a to z change: toLowerCase maps other letters (U+212A KELVIN SIGN) onto ASCII ones. */
function mapAscii(text: string, from: number, to: number, shift: number): string {
  let out = '';
  let copied = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c < from || c > to) continue;
    out += text.slice(copied, i) + String.fromCharCode(c + shift);
    copied = i + 1;
  }
  return copied === 0 ? text : out + text.slice(copied);
}

/** A decimal int64 and nothing else: no spaces, no hexadecimal, no `1_000`. */
function parseInt64(text: string): Value {
  const digits = text.startsWith('-') ? text.slice(1) : text;
  if (digits.length === 0 || digits.length > 19) return UNKNOWN;
  for (let i = 0; i < digits.length; i++) {
    const c = digits.charCodeAt(i);
    if (c < 0x30 || c > 0x39) return UNKNOWN;
  }
  return int64(BigInt(text));
}

function onText(receiver: Value, use: (text: string) => Value): Value {
  return typeof receiver === 'string' ? use(receiver) : UNKNOWN;
}

function onTwoTexts(receiver: Value, arg: Value | undefined, use: (text: string, other: string) => Value): Value {
  return typeof receiver === 'string' && typeof arg === 'string' ? use(receiver, arg) : UNKNOWN;
}

/** Offset of a substring argument; -1: outside of the text. */
function offset(value: Value | undefined, text: string): number {
  if (typeof value !== 'bigint' || value < 0n || value > BigInt(text.length)) return -1;
  return Number(value);
}

/** `receiver.name(args)`. */
export const METHODS: Readonly<Record<string, Function>> = {
  size: (frame, receiver) => size(frame, receiver),
  startsWith: (frame, receiver, [prefix]) =>
    onTwoTexts(receiver, prefix, (text, other) => (spendOnText(frame, other.length), text.startsWith(other))),
  endsWith: (frame, receiver, [suffix]) =>
    onTwoTexts(receiver, suffix, (text, other) => (spendOnText(frame, other.length), text.endsWith(other))),
  contains: (frame, receiver, [part]) =>
    onTwoTexts(
      receiver,
      part,
      (text, other) => (spendOnSearch(frame, text.length, other.length), text.includes(other)),
    ),
  indexOf: (frame, receiver, [part]) =>
    onTwoTexts(receiver, part, (text, other) => {
      spendOnSearch(frame, text.length, other.length);
      return BigInt(text.indexOf(other));
    }),
  lowerAscii: (frame, receiver) =>
    onText(receiver, (text) => (spend(frame, 1 + text.length), mapAscii(text, 0x41, 0x5a, 0x20))),
  upperAscii: (frame, receiver) =>
    onText(receiver, (text) => (spend(frame, 1 + text.length), mapAscii(text, 0x61, 0x7a, -0x20))),
  trim: (frame, receiver) => onText(receiver, (text) => (spendOnText(frame, text.length), text.trim())),
  substring: (frame, receiver, [from, to]) =>
    onText(receiver, (text) => {
      spend(frame, 1);
      const start = offset(from, text);
      const end = to === undefined ? text.length : offset(to, text);
      return start === -1 || end < start ? UNKNOWN : text.slice(start, end);
    }),
  split: (frame, receiver, [separator]) =>
    onTwoTexts(receiver, separator, (text, other) => {
      spendOnSearch(frame, text.length, other.length);
      const parts = text.split(other);
      spend(frame, parts.length);
      return parts;
    }),
};

/** `name(arg)`. */
export const FUNCTIONS: Readonly<Record<string, Function>> = {
  size: (frame, value) => size(frame, value),
  string: (_frame, value) =>
    typeof value === 'string' ? value : isList(value) || isMap(value) ? UNKNOWN : String(value),
  int: (_frame, value) => (typeof value === 'bigint' ? value : onText(value, parseInt64)),
};
