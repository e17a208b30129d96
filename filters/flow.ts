/** The flow as a filter sees it. Runs in the filters' process. */
import type {FilterRequest, FilterResponse} from './contract.ts';
import {isFieldName, isFieldValue, isProtectedField} from './field-rules.ts';
import type {FlowAnswer, FlowHeaders, RequestFlow, ResponseFlow} from './types.ts';
import {MAX_ANSWER_CHARACTERS} from './wire.ts';

/** What is left of a flow when its filters have run. */
export interface Outcome {
  /** null: unchanged. */
  headers: readonly string[] | null;
  answer: {status: number; headers: string[]; body: string} | null;
}

class Headers implements FlowHeaders {
  readonly #lines: string[];
  readonly #writable: boolean;
  changed = false;

  constructor(lines: readonly string[], writable: boolean) {
    this.#lines = [...lines];
    this.#writable = writable;
  }

  get(name: string): string | null {
    const lines = this.getAll(name);
    return lines.length === 0 ? null : lines.join(', ');
  }

  getAll(name: string): string[] {
    const wanted = name.toLowerCase();
    const values: string[] = [];
    for (let i = 0; i < this.#lines.length; i += 2)
      if (this.#lines[i]!.toLowerCase() === wanted) values.push(this.#lines[i + 1]!);
    return values;
  }

  has(name: string): boolean {
    return this.getAll(name).length > 0;
  }

  set(name: string, value: string): void {
    const line = this.#checked('set', name, value);
    const wanted = name.toLowerCase();
    const at = this.#lines.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === wanted);
    if (at < 0) {
      this.#lines.push(name, line);
      return;
    }
    this.#lines[at + 1] = line;
    this.#remove(wanted, at + 2);
  }

  add(name: string, value: string): void {
    this.#lines.push(name, this.#checked('add', name, value));
  }

  delete(name: string): void {
    this.#checked('delete', name, '');
    this.#remove(name.toLowerCase(), 0);
  }

  *[Symbol.iterator](): Generator<readonly [string, string], void> {
    for (let i = 0; i < this.#lines.length; i += 2) yield [this.#lines[i]!, this.#lines[i + 1]!];
  }

  lines(): readonly string[] {
    return this.#lines;
  }

  #remove(name: string, from: number): void {
    for (let i = this.#lines.length - 2; i >= from; i -= 2)
      if (this.#lines[i]!.toLowerCase() === name) this.#lines.splice(i, 2);
  }

  #checked(what: string, name: string, value: string): string {
    const text = String(value);
    if (!this.#writable) throw new TypeError(`headers.${what}(${quote(name)}): the request was sent already`);
    checkField(`headers.${what}`, name, text);
    this.changed = true;
    return text;
  }
}

function quote(text: unknown): string {
  return JSON.stringify(String(text).slice(0, 100));
}

function checkField(what: string, name: string, value: string): void {
  if (typeof name !== 'string' || !isFieldName(name))
    throw new TypeError(`${what}(${quote(name)}): no header field name`);
  if (isProtectedField(name.toLowerCase()))
    throw new TypeError(`${what}(${quote(name)}): Host, framing and hop-by-hop fields cannot be changed by a filter`);
  if (!isFieldValue(value)) throw new TypeError(`${what}(${quote(name)}): the value is no header field value`);
}

function readAnswer(answer: FlowAnswer): NonNullable<Outcome['answer']> {
  const {status, headers = {}, body = ''} = answer;
  if (!Number.isInteger(status) || status < 200 || status > 599)
    throw new RangeError(`respond: status ${quote(status)} is not from 200 to 599`);
  if (typeof body !== 'string' || body.length > MAX_ANSWER_CHARACTERS)
    throw new TypeError(`respond: the body is no text of up to ${MAX_ANSWER_CHARACTERS} characters`);
  const lines: string[] = [];
  for (const [name, values] of Object.entries(headers))
    for (const value of Array.isArray(values) ? (values as readonly string[]) : [values as string]) {
      checkField('respond', name, String(value));
      lines.push(name, String(value));
    }
  if (!Object.keys(headers).some((name) => name.toLowerCase() === 'content-type'))
    lines.push('content-type', 'text/plain; charset=utf-8');
  return {status, headers: lines, body};
}

/** The flow of one call, and how to ask afterwards what became of it. */
export function makeFlow(
  request: FilterRequest,
  response: FilterResponse | null,
): {flow: RequestFlow | ResponseFlow; readonly outcome: () => Outcome; readonly answered: () => boolean} {
  const requestHeaders = new Headers(request.headers, response === null);
  const responseHeaders = response === null ? null : new Headers(response.headers, true);
  const changing = responseHeaders ?? requestHeaders;
  let answer: Outcome['answer'] = null;
  const {id, workload, method, scheme, host, port, path, query} = request;
  const flow: RequestFlow = {
    id,
    request: Object.freeze({method, scheme, host, port, path, query, headers: requestHeaders}),
    workload: Object.freeze({...workload, labels: Object.freeze({...workload.labels})}),
    respond(given) {
      if (answer !== null) throw new Error('respond: this flow was answered already');
      answer = readAnswer(given);
    },
  };
  return {
    flow: Object.freeze(
      response === null
        ? flow
        : {...flow, response: Object.freeze({status: response.status, headers: responseHeaders!})},
    ),
    outcome: () => ({headers: changing.changed ? changing.lines() : null, answer}),
    answered: () => answer !== null,
  };
}
