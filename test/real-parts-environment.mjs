import {TestEnvironment} from 'jest-environment-node';

/**
 * Of tests of real parts, in ms. What a test waits for has a limit of its own, whose error says what was seen last (test/waiting.ts);
 * that of the whole test must never be met first, since all that it says is that it was met. On two busy cores the sum of the
 * inner ones is minutes.
 */
const LEAST_TIMEOUT_MS = 300_000;

/** Tests and hooks have the time that they ask for, and never less than that. */
export default class RealPartsEnvironment extends TestEnvironment {
  handleTestEvent({name, test, hook}, {testTimeout}) {
    const timed = name === 'test_start' ? test : name === 'hook_start' ? hook : null;
    if (timed !== null) timed.timeout = Math.max(timed.timeout ?? testTimeout, LEAST_TIMEOUT_MS);
  }
}
