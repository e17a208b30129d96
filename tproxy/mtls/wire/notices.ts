/** Lines about connections, bounded: whoever may open one could fill the log, and push the lines about others out of it. */
import {LRUCache} from 'lru-cache';
import type {Journal} from '../../../runtime/journal.ts';
import {TokenBucket} from '../../../runtime/token-bucket.ts';

/** Of one source address at once, then a second; and of all together, for addresses of a network are many. */
export const NOTICE_RATES = {source: {burst: 20, perSecond: 1}, all: {burst: 200, perSecond: 20}} as const;
/** Sources that are remembered; the one not heard of for longest begins anew, within the rate of all. */
const MAX_SOURCES = 4_096;

/** Of each source the first lines are written, and the number of those that were not is said with the next. */
export function boundedNotices(
  journal: Pick<Journal, 'notice'>,
  now: () => number = () => performance.now(),
): Pick<Journal, 'notice'> {
  const all = new TokenBucket(NOTICE_RATES.all.burst, NOTICE_RATES.all.perSecond);
  const sources = new LRUCache<string, TokenBucket>({max: MAX_SOURCES});
  let unsaid = 0;
  return {
    notice(level, event, message, fields) {
      const source = String(fields?.['source']);
      let bucket = sources.get(source);
      if (bucket === undefined) {
        const {burst, perSecond} = NOTICE_RATES.source;
        sources.set(source, (bucket = new TokenBucket(burst, perSecond)));
      }
      const at = now();
      // Its own first: what is too much of one takes nothing of what all have.
      if (!bucket.take(at) || !all.take(at)) {
        unsaid++;
        return;
      }
      const more =
        unsaid === 0 ? '' : ` (${unsaid} more lines were not written; sallyport_connection_events_total counts)`;
      unsaid = 0;
      journal.notice(level, event, message + more, fields);
    },
  };
}
