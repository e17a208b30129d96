/** What failed, as a log line takes it. */
import {SallyportError} from '../../runtime/errors.ts';

/** Our own errors whole; of others the first line: the client library's hold the API server's whole answer. */
export const short = (error: unknown): string =>
  error instanceof SallyportError
    ? error.describe()
    : String((error as Error).message)
        .split('\n')[0]!
        .slice(0, 300);
