/** What was tried, what came of it and how long it took: told as it happens, and as a table at the end. */

export interface Step {
  readonly suite: string;
  readonly name: string;
  readonly ok: boolean;
  readonly seconds: number;
  /** What was measured or seen; where it failed, why. */
  readonly note: string;
}

export class Report {
  readonly steps: Step[] = [];
  /** By suite, as Markdown. */
  readonly #tables = new Map<string, string>();
  #suite = '';

  suite(name: string): void {
    this.#suite = name;
    console.log(`\n== ${name}`);
  }

  /** Runs one step; what it returns is noted beside it. One that fails does not end the others. */
  async step(name: string, run: () => Promise<string | void>): Promise<boolean> {
    const started = Date.now();
    let ok = true;
    let note: string;
    try {
      note = (await run()) ?? '';
    } catch (error) {
      ok = false;
      note = (error as Error).message;
    }
    const seconds = (Date.now() - started) / 1000;
    this.steps.push({suite: this.#suite, name, ok, seconds, note});
    console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${seconds.toFixed(1)} s)${note === '' ? '' : `: ${note}`}`);
    return ok;
  }

  /** What a suite compares, beside its steps. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): void {
    const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
    const text = [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
    this.#tables.set(this.#suite, `${this.#tables.get(this.#suite) ?? ''}\n${text}\n`);
    console.log(text);
  }

  get failed(): number {
    return this.steps.filter(({ok}) => !ok).length;
  }

  markdown(): string {
    const suites = [...new Set(this.steps.map(({suite}) => suite))];
    return suites
      .map((suite) => {
        const rows = this.steps
          .filter((step) => step.suite === suite)
          .map(
            ({name, ok, seconds, note}) =>
              `| ${cell(name)} | ${ok ? 'yes' : 'NO'} | ${seconds.toFixed(1)} | ${cell(note)} |`,
          );
        return `## ${suite}\n\n| what | as expected | seconds | seen |\n|---|---|---|---|\n${rows.join('\n')}\n${this.#tables.get(suite) ?? ''}`;
      })
      .join('\n');
  }
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** Throws where it does not hold. */
export function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** Waits until it holds; throws what was missing. Milliseconds until then. */
export async function eventually(what: string, holds: () => Promise<boolean>, timeoutMs = 60_000): Promise<number> {
  const started = Date.now();
  while (!(await holds())) {
    if (Date.now() - started > timeoutMs) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return Date.now() - started;
}

const BEGIN = '<!-- e2e: begin (npm run e2e -- --markdown docs/E2E.md) -->';
const END = '<!-- e2e: end -->';

/** The document with the tables in their place. Throws where the place is not marked. */
export function withTables(document: string, tables: string): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`there is no place for the tables: it is between ${BEGIN} and ${END}`);
  return `${document.slice(0, begin)}${BEGIN}\n\n${tables}\n${document.slice(end)}`;
}
