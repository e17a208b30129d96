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
  readonly #say: (text: string) => void;

  constructor(say: (text: string) => void = console.log) {
    this.#say = say;
  }

  suite(name: string): void {
    this.#suite = name;
    this.#say(`\n== ${name}`);
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
    this.#say(`${ok ? 'ok    ' : 'FAILED'} ${name} (${seconds.toFixed(1)} s)${note === '' ? '' : `: ${note}`}`);
    return ok;
  }

  /** What a suite compares, beside its steps. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): void {
    const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
    const text = [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
    this.#tables.set(this.#suite, `${this.#tables.get(this.#suite) ?? ''}\n${text}\n`);
    this.#say(text);
  }

  /** What a suite compares, alone; null where it compares nothing, or was not run. */
  compared(suite: string): string | null {
    return this.#tables.get(suite) ?? null;
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
        return `### ${suite}\n\n| what | as expected | seconds | seen |\n|---|---|---|---|\n${rows.join('\n')}\n${this.#tables.get(suite) ?? ''}`;
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

const PLACE = /(<!-- e2e: begin(?: "([^"]*)")? \(.*\) -->\n)[^]*?(<!-- e2e: end -->)/;

/**
 * The document with the tables in their place: those of all suites, or what the suite compares that the place names; where that
 * was not run, the document as it is. Throws where no place is marked.
 */
export function withTables(document: string, report: Report): string {
  const place = PLACE.exec(document);
  if (place === null)
    throw new Error('there is no place for the tables: it is between <!-- e2e: begin (…) --> and <!-- e2e: end -->');
  const [whole, begin, suite, end] = place;
  const tables = suite === undefined ? report.markdown() : report.compared(suite)?.trimStart();
  return tables === undefined ? document : document.replace(whole, () => `${begin}\n${tables}\n${end}`);
}
