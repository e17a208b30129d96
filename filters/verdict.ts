/** Reads what the filters' process says. It runs code that is not ours, so nothing of it is believed before it was looked at. */
import type {HeaderLines} from '../policy/index.ts';
import type {FilterVerdict} from './contract.ts';
import {isFieldName, isFieldValue, isProtectedField} from './field-rules.ts';
import {MAX_ANSWER_CHARACTERS} from './wire.ts';
import type {LoadedFilter} from './wire.ts';

/** The most header lines that a filter may leave: well over what the codec takes from the network. */
const MAX_HEADER_LINES = 512;
const MAX_TEXT = 500;

export type HostMessage =
  | {readonly kind: 'loading'; readonly file: string}
  | {readonly kind: 'loaded'; readonly filters: readonly LoadedFilter[]}
  | {readonly kind: 'verdict'; readonly id: number; readonly raw: Readonly<Record<string, unknown>>}
  | {readonly kind: 'nonsense'};

const NONSENSE: HostMessage = {kind: 'nonsense'};

/** Which of its messages this is. */
export function readHostMessage(message: unknown): HostMessage {
  if (!isRecord(message)) return NONSENSE;
  switch (message['kind']) {
    case 'loading':
      return {kind: 'loading', file: text(message['file'])};
    case 'loaded': {
      const {filters} = message;
      if (!Array.isArray(filters) || !filters.every(isRecord)) return NONSENSE;
      return {
        kind: 'loaded',
        filters: filters.map((filter) => ({
          name: text(filter['name']),
          request: filter['request'] === true,
          response: filter['response'] === true,
        })),
      };
    }
    default:
      return typeof message['id'] === 'number' ? {kind: 'verdict', id: message['id'], raw: message} : NONSENSE;
  }
}

/** The verdict of a reply, about a message whose headers were `original`. What breaks a rule is 'failed' with the reason. */
export function readVerdict(raw: Readonly<Record<string, unknown>>, original: HeaderLines): FilterVerdict {
  const filter = text(raw['filter']);
  const failed = (message: string): FilterVerdict => ({kind: 'failed', filter, message});
  switch (raw['kind']) {
    case 'continue': {
      const {headers} = raw;
      if (headers === null) return {kind: 'continue', headers: original};
      const wrong = fieldsWrong(headers);
      if (wrong !== null) return failed(wrong);
      if (!sameProtected(original, headers as string[]))
        return failed('it changed Host, a framing or a hop-by-hop header field');
      return {kind: 'continue', headers: headers as string[]};
    }
    case 'answered': {
      const {response} = raw;
      if (!isRecord(response)) return failed('its answer is no response');
      const {status, headers, body} = response;
      if (typeof status !== 'number' || !Number.isInteger(status) || status < 200 || status > 599)
        return failed('the status of its answer is not from 200 to 599');
      if (typeof body !== 'string' || body.length > MAX_ANSWER_CHARACTERS)
        return failed('the body of its answer is too long');
      const wrong = fieldsWrong(headers);
      if (wrong !== null) return failed(wrong);
      if (!sameProtected([], headers as string[]))
        return failed('its answer sets a framing or hop-by-hop header field');
      return {kind: 'answered', filter, response: {status, headers: headers as string[], body}};
    }
    case 'failed':
      return failed(text(raw['message']));
    default:
      return failed('its process said what cannot be understood');
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, MAX_TEXT) : '';
}

function fieldsWrong(headers: unknown): string | null {
  if (!Array.isArray(headers) || headers.length % 2 !== 0) return 'its headers are no list of names and values';
  if (headers.length > 2 * MAX_HEADER_LINES) return `it left over ${MAX_HEADER_LINES} header lines`;
  for (let i = 0; i < headers.length; i += 2) {
    const [name, value] = [headers[i] as unknown, headers[i + 1] as unknown];
    if (typeof name !== 'string' || typeof value !== 'string' || !isFieldName(name) || !isFieldValue(value))
      return 'it left a header line that is none';
  }
  return null;
}

/** Whether both have the same protected lines in the same order. */
function sameProtected(before: HeaderLines, after: HeaderLines): boolean {
  const [a, b] = [protectedLines(before), protectedLines(after)];
  return a.length === b.length && a.every((line, i) => line === b[i]);
}

function protectedLines(lines: HeaderLines): string[] {
  const found: string[] = [];
  for (let i = 0; i < lines.length; i += 2) {
    const name = lines[i]!.toLowerCase();
    if (isProtectedField(name)) found.push(name, lines[i + 1]!);
  }
  return found;
}
