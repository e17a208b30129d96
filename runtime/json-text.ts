/** JSON written by hand, for lines that are written for every request. */

/** A string in quotes. What needs no escape, as nearly everything that is logged, is not copied. */
export function quoted(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    // '"' and '\\'; control characters, and all that is no ASCII (lone surrogates among it).
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return JSON.stringify(text);
  }
  return `"${text}"`;
}

export const quotedOrNull = (text: string | null): string => (text === null ? 'null' : quoted(text));

/** A number with one decimal, 12 for 12.0: milliseconds. */
export function tenths(value: number): string {
  const all = Math.round(value * 10);
  const whole = Math.trunc(all / 10);
  return all === whole * 10 ? `${whole}` : `${whole}.${Math.abs(all - whole * 10)}`;
}

/** Makes a clock's text in ISO 8601, UTC, with milliseconds. The calendar is asked once a second. */
export function isoClock(): (now: Date) => string {
  let second = NaN;
  let ms = NaN;
  let prefix = '';
  let text = '';
  return (now) => {
    const at = now.getTime();
    if (at === ms) return text;
    const of = Math.floor(at / 1000);
    if (of !== second) {
      prefix = now.toISOString().slice(0, -'000Z'.length);
      second = of;
    }
    ms = at;
    const rest = at - of * 1000;
    text = `${prefix}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`;
    return text;
  };
}
