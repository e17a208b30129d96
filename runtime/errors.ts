/** The one error class: a stable code, a message that says what is wrong, where, and what to do instead. */
export class SallyportError extends Error {
  /** Stable, CamelCase; shown in front of the message. */
  readonly code: string;
  /** What to do instead; one sentence. */
  readonly fix: string;

  constructor(code: string, message: string, fix: string, options?: {cause?: unknown}) {
    super(message, options);
    this.name = 'SallyportError';
    this.code = code;
    this.fix = fix;
  }

  /** `code: message. fix` on one line, as the command line prints it. */
  describe(): string {
    return `${this.code}: ${this.message}${/[.!?]$/.test(this.message) ? '' : '.'}${this.fix === '' ? '' : ` ${this.fix}`}`;
  }
}

/** The process exit codes of DESIGN §8. */
export const EXIT = {ok: 0, finding: 1, usage: 2, couldNotRun: 3} as const;
