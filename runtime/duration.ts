/** Times as flags give them: `90d`, `12h`, `30m`, `20s`. */
import {SallyportError} from './errors.ts';

const UNITS_MS = {d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000} as const;
/** A hundred years: beyond it dates in certificates mean nothing. */
const MAX_MS = 36_525 * UNITS_MS.d;

/** In ms. Throws SallyportError `Usage` for what is none, zero included; `origin` names the flag. */
export function parseDuration(text: string, origin: string): number {
  const [, digits, unit] = /^([1-9]\d{0,8})([dhms])$/.exec(text) ?? [];
  const ms = digits === undefined ? NaN : Number(digits) * UNITS_MS[unit as keyof typeof UNITS_MS];
  if (Number.isNaN(ms) || ms > MAX_MS)
    throw new SallyportError('Usage', `${origin} is ${JSON.stringify(text)}`, 'Write a time: 90d, 12h, 30m or 20s.');
  return ms;
}
