/** When a node's intermediate is to be renewed. */
import {BACKDATE_MS} from '../../pki/index.ts';

/** Of its life: the last third is for a controller that is away. */
const RENEW_PART = 2 / 3;
/** Of its life, before that: nodes that were set up together do not all ask in the same minute. */
const JITTER_PART = 1 / 10;

/** `jitter`: from 0 to 1, one for each process. Unix time in ms, as all of them. */
export function renewAtMs(certificate: {notBeforeMs: number; notAfterMs: number}, jitter: number): number {
  const madeMs = certificate.notBeforeMs + BACKDATE_MS;
  const lifeMs = certificate.notAfterMs - madeMs;
  return madeMs + lifeMs * (RENEW_PART - JITTER_PART * jitter);
}
