/** A role's log as it comes: decisions of a step are found by the client's own address and port. */
import {createInterface} from 'node:readline';
import type {Readable} from 'node:stream';

export interface LogLine {
  readonly text: string;
  /** null: no JSON. */
  readonly fields: Readonly<Record<string, unknown>> | null;
}

export class RoleLog {
  readonly lines: LogLine[] = [];
  #waiting: (() => void)[] = [];
  #ended = false;

  /** Follows both streams: JSON lines and whatever else the process says. */
  follow(...streams: readonly (Readable | null)[]): void {
    for (const stream of streams) {
      if (stream === null) continue;
      createInterface({input: stream}).on('line', (text) => {
        this.lines.push({text, fields: parse(text)});
        this.#wake();
      });
    }
  }

  /** The process is gone: nobody waits for more. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves when `done` holds, or after `timeoutMs`, or when the process is gone: whether it holds. */
  async until(done: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!done()) {
      const left = deadline - performance.now();
      if (left <= 0 || this.#ended) return false;
      const {promise, resolve} = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, left);
      this.#waiting.push(resolve);
      await promise;
      clearTimeout(timer);
    }
    return true;
  }

  /** Lines from `from` on with this event and fields. */
  find(
    from: number,
    event: string,
    fields: Readonly<Record<string, unknown>> = {},
  ): Readonly<Record<string, unknown>>[] {
    const found: Readonly<Record<string, unknown>>[] = [];
    for (let i = from; i < this.lines.length; i++) {
      const line = this.lines[i]!.fields;
      if (
        line !== null &&
        line['event'] === event &&
        Object.entries(fields).every(([name, value]) => line[name] === value)
      )
        found.push(line);
    }
    return found;
  }

  /** What was said from `from` on, shortened: for a difference. */
  since(from: number, most = 12): string[] {
    const texts = this.lines.slice(from).map(({text}) => text);
    return texts.length <= most
      ? texts
      : [...texts.slice(0, 2), `... ${texts.length - most} lines ...`, ...texts.slice(2 - most)];
  }
}

function parse(text: string): Record<string, unknown> | null {
  if (!text.startsWith('{')) return null;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
}
