/** How tests wait for what comes in its own time: each wait has a limit, and an error that says what was seen last. */
import type {Socket} from 'node:net';

/** Far above what anything takes on two busy cores: whoever meets it waits for what does not come. */
export const WITHIN_MS = 60_000;
/** Between two looks. Most looks start a program, and what is waited for needs the processor too. */
const PAUSE_MS = 50;

export interface WaitOptions {
  /** Default WITHIN_MS. */
  readonly withinMs?: number;
  /** What is waited for, for the error. Default: the condition's own source. */
  readonly what?: string;
  /** What else tells why it did not come: a journal, a program's stderr. Asked only then. */
  readonly said?: () => string;
}

export const pause = (ms = PAUSE_MS): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Looks until what is seen holds, at least once. Rejects with what was seen last, or with what `look` throws. */
export async function until<T>(
  look: () => T | Promise<T>,
  holds: (seen: T) => boolean,
  {withinMs = WITHIN_MS, what = source(holds), said}: WaitOptions = {},
): Promise<T> {
  for (const deadline = performance.now() + withinMs; ; await pause()) {
    const seen = await look();
    if (holds(seen)) return seen;
    if (performance.now() >= deadline)
      throw new Error(
        `not within ${withinMs / 1000} s: ${what}\nseen last: ${shown(seen)}${said === undefined ? '' : `\n${said()}`}`,
      );
  }
}

/** Looks until it is something other than null, undefined and false. */
export async function found<T>(look: () => T | Promise<T>, options: WaitOptions = {}): Promise<NonNullable<T>> {
  const holds = (seen: T): boolean => seen !== null && seen !== undefined && seen !== false;
  return (await until(look, holds, {what: source(look), ...options})) as NonNullable<T>;
}

/** The promise, or an error in its place where it has not come to anything in time. */
export async function within<T>(
  promise: Promise<T>,
  what: string,
  {withinMs = WITHIN_MS, said}: Omit<WaitOptions, 'what'> = {},
): Promise<T> {
  let timer: NodeJS.Timeout | null = null;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not within ${withinMs / 1000} s: ${what}${said === undefined ? '' : `\n${said()}`}`)),
      withinMs,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer!);
  }
}

/**
 * What comes on a connection, from now on, until it holds: in as many chunks as it likes. Rejects where the connection ends
 * first, with what came.
 */
export function heard(socket: Socket, holds: (text: string) => boolean, options: WaitOptions = {}): Promise<string> {
  const {what = source(holds), ...limits} = options;
  let text = '';
  const come = new Promise<string>((resolve, reject) => {
    const ended = (why: string): void =>
      reject(new Error(`the connection ${why} before ${what}; it said ${JSON.stringify(text)}`));
    if (socket.destroyed) return ended('was closed');
    const listen = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      if (!holds(text)) return;
      // What comes next is somebody else's: a TLS handshake, the next answer.
      socket.off('data', listen);
      resolve(text);
    };
    socket.on('data', listen);
    socket.once('error', (error: Error) => ended(`failed (${error.message})`));
    socket.once('end', () => ended('ended'));
    socket.once('close', () => ended('was closed'));
  });
  return within(come, what, {said: () => `it said ${JSON.stringify(text)}`, ...limits});
}

/** When the connection is gone, however it went. */
export function closed(socket: Socket, what: string, options: Omit<WaitOptions, 'what'> = {}): Promise<void> {
  socket.on('error', () => undefined);
  const gone = socket.closed
    ? Promise.resolve()
    : new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return within(gone, what, options);
}

/** Of a condition; its types are blanks here. */
const source = (condition: {toString(): string}): string => condition.toString().replace(/\s+/g, ' ');

function shown(seen: unknown): string {
  return typeof seen === 'string' ? seen : (JSON.stringify(seen, null, 1) ?? String(seen));
}
