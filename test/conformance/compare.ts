/** Expected against seen, as a pure function: the report and the self-test ask the same one. */
import type {Expectation, UpstreamExpectation} from './format/case.ts';
import type {Answer, Observation, Sighting} from './observation.ts';

/** What a target can be asked about. */
export interface Scope {
  /** It has real clients and servers: everything is checked. Else only what `decide` knows. */
  readonly network: boolean;
}

/** One field that was checked; `problem` is null where it agrees. */
export interface Check {
  /** `status`, `upstream.headers.x-egress` ... */
  readonly field: string;
  readonly problem: string | null;
}

const show = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));

/**
 * Compares one step. The result names every field that was checked; a field of `expect` that is not among them is one
 * that this target cannot know.
 */
export function compare(expect: Expectation, seen: Observation, scope: Scope): Check[] {
  const checks: Check[] = [];
  const check = (field: string, agrees: boolean, expected: unknown, was: unknown): void => {
    checks.push({
      field,
      problem: agrees ? null : `${field}: expected ${show(expected)}, was ${typeof was === 'string' ? was : show(was)}`,
    });
  };

  if (seen.answer?.kind === 'failed') checks.push({field: 'client', problem: `the client failed: ${seen.answer.why}`});
  if (seen.connectionWasClosed && expect.refused !== true) {
    checks.push({field: 'connection', problem: 'connection: it was closed before this step could use it'});
  }

  compareDecision(expect, seen, check);
  if (expect.loadError !== undefined) {
    const error = seen.load?.error ?? null;
    check('loadError', error?.includes(expect.loadError) ?? false, expect.loadError, error ?? 'loaded');
  } else if (seen.load !== null) {
    check('load', seen.load.error === null, 'loaded', seen.load.error);
  }
  if (scope.network) {
    compareAnswer(expect, seen, check);
    compareSightings(expect, seen.sightings ?? [], check);
    if (expect.upstream !== undefined) compareUpstream(expect, seen.sightings ?? [], check);
  } else {
    compareDenial(expect, seen, check);
    if (expect.upstream?.headers !== undefined && seen.forwarded !== null) {
      compareForwarded(expect.upstream.headers, seen.forwarded, check);
    }
  }
  return checks;
}

/** What is wrong, in words; empty: the step passed. */
export const problems = (checks: readonly Check[]): string[] =>
  checks.flatMap(({problem}) => (problem === null ? [] : [problem]));

type Report = (field: string, agrees: boolean, expected: unknown, was: unknown) => void;

function compareDecision(expect: Expectation, {decision}: Observation, check: Report): void {
  for (const field of ['verdict', 'reason', 'rule', 'wouldDeny'] as const) {
    const expected = expect[field];
    if (expected === undefined) continue;
    check(
      field,
      decision !== null && decision[field] === expected,
      expected,
      decision === null ? 'no decision' : decision[field],
    );
  }
}

/** The policy target: an allowed request's answer is the server's affair, a refused one's is the decision's. */
function compareDenial(expect: Expectation, seen: Observation, check: Report): void {
  if (seen.answer?.kind === 'response') {
    if (expect.status !== undefined)
      check('status', seen.answer.status === expect.status, expect.status, seen.answer.status);
    compareContent(expect, seen.answer, check);
    return;
  }
  if (seen.answer?.kind === 'refused' && expect.status !== undefined) {
    check('status', false, expect.status, describe(seen.answer));
    return;
  }
  // A step that says only "403" says that it is denied; 502 and what comes after it may befall an allowed request.
  const deniedStatus = expect.status !== undefined && expect.status >= 400 && expect.status < 500;
  if (deniedStatus && expect.verdict === undefined && expect.reached === null && seen.decision !== null) {
    check('status', false, expect.status, 'an allowed request');
  }
}

function describe(answer: Answer | null): string {
  switch (answer?.kind) {
    case undefined:
      return 'nothing';
    case 'response':
      return `status ${answer.status}`;
    case 'bytes':
      return `bytes ${JSON.stringify(answer.latin1.slice(0, 80))}`;
    case 'refused':
      return `refused (${answer.how})`;
    case 'failed':
      return `no answer (${answer.why})`;
  }
}

function compareAnswer(expect: Expectation, seen: Observation, check: Report): void {
  const {answer} = seen;
  if (expect.status !== undefined) {
    check('status', answer?.kind === 'response' && answer.status === expect.status, expect.status, describe(answer));
  }
  if (expect.refused !== undefined) {
    check('refused', (answer?.kind === 'refused') === expect.refused, expect.refused, describe(answer));
  }
  if (expect.responses !== undefined) {
    check('responses', show(seen.responses) === show(expect.responses), expect.responses, seen.responses);
  }
  if (expect.closed !== undefined) check('closed', seen.closed === expect.closed, expect.closed, seen.closed);
  compareContent(expect, answer, check);
}

function compareContent(expect: Expectation, answer: Answer | null, check: Report): void {
  const headers = answer?.kind === 'response' ? answer.headers : null;
  for (const [name, expected] of Object.entries(expect.headers ?? {})) {
    const lines = headers?.get(name);
    const agrees =
      headers !== null &&
      (expected === null
        ? lines === undefined
        : lines !== undefined && lines.every((line) => globMatches(expected, line)));
    check(`headers.${name}`, agrees, expected, headers === null ? describe(answer) : lines);
  }
  if (expect.body !== undefined) {
    const body = answer?.kind === 'response' ? answer.body : answer?.kind === 'bytes' ? answer.latin1 : null;
    check(
      'body',
      body?.includes(expect.body) ?? false,
      expect.body,
      body === null ? describe(answer) : body.slice(0, 200),
    );
  }
}

/** Who saw a request: servers, and parents that a request stayed with. A CONNECT is an errand, not a request. */
function reachedServers(sightings: readonly Sighting[]): string[] {
  return [...new Set(sightings.filter(({how, passedOn}) => how !== 'connect' && !passedOn).map(({server}) => server))];
}

function compareSightings(expect: Expectation, sightings: readonly Sighting[], check: Report): void {
  if (expect.reached === null) {
    // A parent counts here even where it passed the request on: then it saw it, and so did somebody else.
    const anyone = [...new Set(sightings.filter(({how}) => how !== 'connect').map(({server}) => server))];
    check('reached', anyone.length === 0, null, anyone);
  } else if (expect.reached !== undefined) {
    const servers = reachedServers(sightings);
    check('reached', servers.length === 1 && servers[0] === expect.reached, expect.reached, servers);
  }
  if (expect.notReached !== undefined) {
    const saw = sightings.some(({server, how}) => how !== 'connect' && server === expect.notReached);
    check('notReached', !saw, expect.notReached, 'a server that saw it');
  }
  if (expect.proxied === null) {
    const parents = [...new Set(sightings.flatMap((one) => (one.parent ? [one.server] : (one.carriedBy ?? []))))];
    check('proxied', parents.length === 0, null, parents);
  } else if (expect.proxied !== undefined) {
    const parents = [
      ...new Set(sightings.filter(({how, passedOn}) => how !== 'connect' && !passedOn).map(({carriedBy}) => carriedBy)),
    ];
    check('proxied', parents.length === 1 && parents[0] === expect.proxied, expect.proxied, parents);
  }
}

/** The request as the server saw it that the step names; without a name, the last server that saw one. */
function compareUpstream(expect: Expectation, sightings: readonly Sighting[], check: Report): void {
  const wanted: UpstreamExpectation = expect.upstream!;
  const requests = sightings.filter(
    ({how, passedOn, server}) => how === 'request' && !passedOn && (expect.reached ?? server) === server,
  );
  const last = requests.at(-1) ?? null;
  const none = 'no request seen';
  if (wanted.method !== undefined)
    check('upstream.method', last?.method === wanted.method, wanted.method, last?.method ?? none);
  if (wanted.path !== undefined) {
    // A path is compared without its query, unless the step writes one.
    const target = last?.target ?? null;
    const path = target === null || wanted.path.includes('?') ? target : target.split('?')[0];
    check('upstream.path', path === wanted.path, wanted.path, path ?? none);
  }
  for (const [name, expected] of Object.entries(wanted.headers ?? {})) {
    if (last === null) check(`upstream.headers.${name}`, false, expected, none);
    else compareHeader(name, expected, last.headers, check);
  }
}

function compareForwarded(
  wanted: NonNullable<UpstreamExpectation['headers']>,
  forwarded: ReadonlyMap<string, readonly string[]>,
  check: Report,
): void {
  for (const [name, expected] of Object.entries(wanted)) compareHeader(name, expected, forwarded, check);
}

function compareHeader(
  name: string,
  expected: string | readonly string[] | null,
  headers: ReadonlyMap<string, readonly string[]>,
  check: Report,
): void {
  const lines = headers.get(name);
  const agrees =
    expected === null
      ? lines === undefined
      : typeof expected === 'string'
        ? lines !== undefined && lines.join(', ') === expected
        : show(lines) === show(expected);
  check(`upstream.headers.${name}`, agrees, expected, lines);
}

/** `*` is any characters; everything else is itself. */
export function globMatches(pattern: string, text: string): boolean {
  const parts = pattern.split('*');
  if (parts.length === 1) return pattern === text;
  const head = parts[0]!;
  const tail = parts.at(-1)!;
  if (!text.startsWith(head) || !text.endsWith(tail) || text.length < head.length + tail.length) return false;
  let from = head.length;
  for (const part of parts.slice(1, -1)) {
    const at = text.indexOf(part, from);
    if (at === -1) return false;
    from = at + part.length;
  }
  return from <= text.length - tail.length;
}
