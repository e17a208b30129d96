/** When an identity is asked for again, and how long to wait after a failure. Pure but for the random number that is given. */

/** Renewed between half and two thirds of what is left when it came: pods that started together do not ask together. */
const RENEW_FROM = 1 / 2;
const RENEW_TO = 2 / 3;

/** What is left may be next to nothing, for a CA that ends or a clock that is ahead: half of that again and again would be a flood. */
const MIN_RENEW_MS = 1_000;

/** `cameAtMs`: when it was issued, by our own clock; `random` from 0 to 1. Unix time in ms. */
export function renewIdentityAtMs(cameAtMs: number, notAfterMs: number, random: number): number {
  const inMs = (notAfterMs - cameAtMs) * (RENEW_FROM + (RENEW_TO - RENEW_FROM) * random);
  return cameAtMs + Math.max(inMs, MIN_RENEW_MS);
}

const FIRST_RETRY_MS = 500;
/** A controller that is back is noticed within half a minute by everybody, and hears from a node about each second until then. */
const MAX_RETRY_MS = 30_000;

/** `failures`: in a row, 1 for the first. Between half and one and a half of the step. */
export function retryInMs(failures: number, random: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 16), MAX_RETRY_MS) * (0.5 + random);
}
