/**
 * Lines of one workload a second: a pod that is refused ten thousand times a second must not push the lines of others out of
 * a log that is rotated by size. What is too much is counted, and summed up in one line; the metrics count all of it.
 */
import type {Decision, EgressRequest, Workload} from '../policy/index.ts';
import type {Journal} from './journal.ts';
import {TokenBucket} from './token-bucket.ts';

export interface JournalLimits {
  /** Lines of one workload at once, and a second after that; for denials and for the rest by itself: neither hides the other. */
  readonly linesPerSecond: number;
  readonly burstSeconds: number;
  /** Workloads that are told apart at one time; the lines of any more share one limit. */
  readonly workloads: number;
  /** How often what was suppressed is summed up. */
  readonly summaryMs: number;
}

export const JOURNAL_LIMITS: JournalLimits = {
  // 1,000 requests a second, each with a decision and a flow: 1 MB a second, a rotation (kubelet: 10 MB, 5 files) in 50 s.
  linesPerSecond: 2_000,
  // A burst of ten seconds' lines: test runs, restarts.
  burstSeconds: 10,
  // A node has some hundred pods; unknown sources count by address, of which there may be any number.
  workloads: 2_000,
  summaryMs: 1_000,
};

/** What of one workload was written and what was not. */
interface Account {
  readonly denials: TokenBucket;
  readonly others: TokenBucket;
  suppressedDenials: number;
  suppressedOthers: number;
}

export interface LimitedJournal extends Journal {
  /** Sums up what was suppressed, now; to be called at the end. */
  flush(): void;
  close(): void;
}

/**
 * A journal in front of another. `linesPerSecond` 0: no limit. `onSuppressed` is told the number of lines, for the metric.
 * Notices are ours, a few, and always written.
 */
export function limitJournal(
  journal: Journal,
  options: {
    readonly limits?: Partial<JournalLimits>;
    readonly onSuppressed?: (lines: number) => void;
    /** Milliseconds, monotonic; for tests. */
    readonly now?: () => number;
  } = {},
): LimitedJournal {
  const limits = {...JOURNAL_LIMITS, ...options.limits};
  const now = options.now ?? (() => performance.now());
  const accounts = new Map<string, Account>();
  const burst = limits.linesPerSecond * limits.burstSeconds;
  const account = (): Account => ({
    denials: new TokenBucket(burst, limits.linesPerSecond),
    others: new TokenBucket(burst, limits.linesPerSecond),
    suppressedDenials: 0,
    suppressedOthers: 0,
  });
  const crowd = account();

  // The one that was asked for last: lines come in pairs, and from few.
  let last: {readonly workload: Workload; readonly account: Account} | null = null;

  function of({workload, source}: EgressRequest): Account {
    if (last !== null && last.workload === workload) return last.account;
    const name = workload === 'unknown' ? source.ip : `${workload.namespace}/${workload.name}`;
    let found = accounts.get(name);
    if (found === undefined) {
      if (accounts.size >= limits.workloads) return crowd;
      accounts.set(name, (found = account()));
    }
    if (workload !== 'unknown') last = {workload, account: found};
    return found;
  }

  function mayWrite(decision: Decision, request: EgressRequest): boolean {
    const mine = of(request);
    if (decision.verdict === 'deny') {
      if (mine.denials.take(now())) return true;
      mine.suppressedDenials++;
    } else {
      if (mine.others.take(now())) return true;
      mine.suppressedOthers++;
    }
    options.onSuppressed?.(1);
    return false;
  }

  function sumUp(name: string, of: Account): void {
    const {suppressedDenials: denied, suppressedOthers: allowed} = of;
    if (denied + allowed === 0) return;
    of.suppressedDenials = of.suppressedOthers = 0;
    journal.notice(
      'warn',
      'journal.suppressed',
      `${denied + allowed} lines of workload ${name} suppressed: it writes more than ${limits.linesPerSecond} a second; the metrics count every decision`,
      {workload: name, denied, allowed},
    );
  }

  function flush(): void {
    sumUp('(others)', crowd);
    const at = now();
    last = null;
    for (const [name, one] of accounts) {
      sumUp(name, one);
      // Full again: a new one would be no different.
      if (one.denials.spent(at) === 0 && one.others.spent(at) === 0) accounts.delete(name);
    }
  }

  if (limits.linesPerSecond === 0)
    return {
      decision: (decision, request) => journal.decision(decision, request),
      flow: (flow) => journal.flow(flow),
      notice: (level, event, message, fields) => journal.notice(level, event, message, fields),
      flush: () => undefined,
      close: () => undefined,
    };
  const clock = setInterval(flush, limits.summaryMs);
  clock.unref();
  return {
    decision(decision, request) {
      if (mayWrite(decision, request)) journal.decision(decision, request);
    },
    flow(flow) {
      if (mayWrite(flow.decision, flow.request)) journal.flow(flow);
    },
    notice: (level, event, message, fields) => journal.notice(level, event, message, fields),
    flush,
    close() {
      clearInterval(clock);
      flush();
    },
  };
}
