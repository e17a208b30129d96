/** Worker processes, each with listeners of its own on SO_REUSEPORT; a dead one is replaced (docs/adr/0002). */
import {fork, type ChildProcess} from 'node:child_process';
import {codeCacheEnvironment} from './code-cache.ts';
import type {Denials} from './denials.ts';
import {SallyportError} from './errors.ts';
import type {Journal} from './journal.ts';
import {BEAT_MS, Heartbeat, HUNG_AFTER_BEATS, HUNG_WHILE_BUSY_BEATS, isStarved} from './heartbeat.ts';
import {processorTime, type ProcessorTime} from './processor-time.ts';
import type {ToSupervisor, ToWorker} from './worker-messages.ts';

/** A worker that dies again and again is restarted ever more slowly, at most this far apart. */
const MAX_RESTART_DELAY_MS = 10_000;
const FIRST_RESTART_DELAY_MS = 50;
/** A worker that lived this long was healthy: the next restart is quick again. */
const HEALTHY_AFTER_MS = 30_000;
/** A worker that does not answer for its metrics is left out of this scrape. */
const METRICS_TIMEOUT_MS = 2000;
/** After the drain deadline a worker gets this long to exit by itself. */
const EXIT_GRACE_MS = 1000;
/**
 * V8's heap in a worker. Bodies come in buffers of 16 KB that die young, but they are freed when the young space is
 * collected, and until then they count as growth of the old one, which is small: with V8's defaults (16 MB, and 8 MB of
 * growth) all of it was marked every 10 MB of bodies, a third of the CPU of large answers. With 2 MB the same buffers stay
 * in the processor's cache as well, and no other thread is woken to help; the old space may grow to three times what lived.
 */
export const HEAP = ['--max-semi-space-size=2', '--no-parallel-scavenge', '--heap-growing-percent=200'];

interface Slot {
  child: ChildProcess;
  listening: boolean;
  appliedVersion: number;
  startedAt: number;
  restartDelayMs: number;
  readonly heartbeat: Heartbeat;
  /** As it was when it missed its first beat; null: it misses none. */
  atFirstMissed: ProcessorTime | null;
  /** It exited, or could not be started at all. */
  ended: boolean;
}

export class Workers<C extends {readonly workers: number}, S extends {readonly version: number}> {
  readonly #program: string;
  readonly #config: C;
  readonly #journal: Journal;
  readonly #onRestart: () => void;
  readonly #slots: Slot[] = [];
  readonly #asked = new Map<number, (metrics: object) => void>();
  #question = 0;
  #state: S;
  #stopping = false;
  #beats: NodeJS.Timeout | null = null;

  /** What workers denied, every second in which they did. */
  onDenials: (denials: Denials) => void = () => undefined;

  /** `program`: the worker's file. */
  constructor(program: string, config: C, state: S, journal: Journal, onRestart: () => void) {
    this.#program = program;
    this.#config = config;
    this.#state = state;
    this.#journal = journal;
    this.#onRestart = onRestart;
  }

  /** Starts them all; rejects with the first worker's own message if one cannot listen. */
  async start(): Promise<void> {
    const started = Array.from({length: this.#config.workers}, (_, index) =>
      this.#spawn(index, FIRST_RESTART_DELAY_MS),
    );
    try {
      await Promise.all(started);
    } catch (error) {
      this.#stopping = true;
      for (const slot of this.#slots) slot.child.kill('SIGKILL');
      throw error;
    }
    this.#beats = setInterval(() => this.#beat(), BEAT_MS);
  }

  /** A worker whose event loop stands still holds its connections and is still given new ones: it is killed, and so replaced. */
  #beat(): void {
    this.#slots.forEach((slot, index) => {
      if (slot.ended) return;
      const missed = slot.heartbeat.beat();
      const busy = !slot.listening || slot.appliedVersion !== this.#state.version;
      if (missed === 1) slot.atFirstMissed = processorTime(slot.child.pid!);
      const patience = busy || this.#starved(slot, missed) ? HUNG_WHILE_BUSY_BEATS : HUNG_AFTER_BEATS;
      if (missed === HUNG_AFTER_BEATS && !busy && patience > missed)
        this.#journal.notice('warn', 'worker.starved', `worker ${index} (pid ${slot.child.pid}) gets no processor`);
      if (missed < patience) return this.#send(slot, {kind: 'ping'});
      this.#journal.notice(
        'error',
        'worker.hung',
        `worker ${index} (pid ${slot.child.pid}) has not answered for ${(missed * BEAT_MS) / 1000} s and is killed`,
      );
      slot.child.kill('SIGKILL');
    });
  }

  #starved({child, atFirstMissed}: Slot, missed: number): boolean {
    const now = atFirstMissed === null ? null : processorTime(child.pid!);
    return atFirstMissed !== null && now !== null && isStarved(atFirstMissed, now, missed);
  }

  #spawn(index: number, restartDelayMs: number): Promise<void> {
    const child = fork(this.#program, [], {
      execArgv: [...process.execArgv, ...HEAP],
      env: {...process.env, ...codeCacheEnvironment()},
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const startedWith = this.#state.version;
    const slot: Slot = {
      child,
      listening: false,
      appliedVersion: 0,
      startedAt: performance.now(),
      restartDelayMs,
      heartbeat: new Heartbeat(),
      atFirstMissed: null,
      ended: false,
    };
    this.#slots[index] = slot;
    this.#send(slot, {kind: 'start', config: this.#config, state: this.#state});
    return new Promise((resolve, reject) => {
      let failure: string | null = null;
      child.on('message', (message: ToSupervisor) => {
        switch (message.kind) {
          case 'listening':
            slot.listening = true;
            slot.appliedVersion = Math.max(slot.appliedVersion, startedWith);
            resolve();
            break;
          case 'failed':
            failure = message.message;
            break;
          case 'applied':
            slot.appliedVersion = message.version;
            break;
          case 'metrics':
            this.#asked.get(message.question)?.(message.metrics);
            break;
          case 'denials':
            this.onDenials(message);
            break;
          case 'pong':
            slot.heartbeat.answered();
            slot.atFirstMissed = null;
            break;
        }
      });
      const ended = (code: number | null, signal: NodeJS.Signals | null): void => {
        if (slot.ended) return;
        slot.ended = true;
        const wasListening = slot.listening;
        slot.listening = false;
        if (this.#stopping) return;
        if (!wasListening)
          reject(
            new SallyportError(
              'WorkerFailed',
              failure ?? `worker ${index} ended (${signal ?? `exit ${code}`}) before it listened`,
              '',
            ),
          );
        if (wasListening || restartDelayMs > FIRST_RESTART_DELAY_MS)
          this.#restart(index, slot, failure ?? signal ?? `exit ${code}`);
      };
      child.on('error', (error) => {
        failure ??= error.message;
        // What could not be started (EMFILE, EAGAIN) never exits.
        if (child.pid === undefined) ended(null, null);
      });
      child.on('exit', ended);
    });
  }

  #restart(index: number, dead: Slot, why: string): void {
    const healthy = performance.now() - dead.startedAt > HEALTHY_AFTER_MS;
    const delayMs = healthy ? FIRST_RESTART_DELAY_MS : dead.restartDelayMs;
    this.#onRestart();
    this.#journal.notice(
      'error',
      'worker.restarted',
      `worker ${index} (pid ${dead.child.pid}) died: ${why}; its connections are lost, a new one starts in ${delayMs} ms`,
    );
    setTimeout(() => {
      if (this.#stopping) return;
      const nextDelayMs = Math.min(delayMs * 2, MAX_RESTART_DELAY_MS);
      try {
        this.#spawn(index, nextDelayMs).catch((error: Error) =>
          this.#journal.notice('error', 'worker.failed', error.message),
        );
      } catch (error) {
        // fork() throws where the machine has no memory or no processes left; it may have some later.
        this.#restart(index, {...dead, restartDelayMs: nextDelayMs}, String(error));
      }
    }, delayMs);
  }

  #send(slot: Slot, message: ToWorker<C, S>): void {
    // A worker that just died is replaced, and its successor starts with the newest state.
    if (slot.child.connected) slot.child.send(message, () => {});
  }

  /** Gives every worker the new state; a restarted one starts with it. */
  apply(state: S): void {
    this.#state = state;
    for (const slot of this.#slots) this.#send(slot, {kind: 'state', state});
  }

  /** Workers that listen and answer. */
  get listening(): number {
    return this.#slots.filter((slot) => slot.listening && !slot.heartbeat.silent).length;
  }

  /** Whether every worker decides by the newest state. */
  get current(): boolean {
    return this.#slots.every((slot) => slot.appliedVersion === this.#state.version);
  }

  get pids(): number[] {
    return this.#slots.flatMap((slot) => slot.child.pid ?? []);
  }

  /** The metrics of every worker that answers in time. */
  async metrics(): Promise<object[]> {
    const answers = this.#slots.map(
      (slot) =>
        new Promise<object[]>((resolve) => {
          const question = ++this.#question;
          const done = (metrics: object[]): void => {
            clearTimeout(timer);
            this.#asked.delete(question);
            resolve(metrics);
          };
          const timer = setTimeout(() => done([]), METRICS_TIMEOUT_MS);
          this.#asked.set(question, (metrics) => done([metrics]));
          if (slot.child.connected) this.#send(slot, {kind: 'metrics', question});
          else done([]);
        }),
    );
    return (await Promise.all(answers)).flat();
  }

  /** Lets requests finish until the deadline, then ends what is left. Resolves when every worker is gone. */
  async drain(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    if (this.#beats !== null) clearInterval(this.#beats);
    await Promise.all(
      this.#slots.map(
        (slot) =>
          new Promise<void>((resolve) => {
            if (slot.ended) return resolve();
            const kill = setTimeout(() => slot.child.kill('SIGKILL'), deadlineMs + EXIT_GRACE_MS);
            slot.child.once('exit', () => {
              clearTimeout(kill);
              resolve();
            });
            this.#send(slot, {kind: 'drain', deadlineMs});
          }),
      ),
    );
  }
}
