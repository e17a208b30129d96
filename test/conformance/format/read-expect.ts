import {REASONS} from '../../../policy/index.ts';
import type {Expectation, UpstreamExpectation} from './case.ts';
import type {Cursor} from './cursor.ts';

const FIELDS = [
  'verdict',
  'status',
  'responses',
  'refused',
  'closed',
  'headers',
  'body',
  'reached',
  'notReached',
  'upstream',
  'proxied',
  'reason',
  'rule',
  'wouldDeny',
  'loadError',
] as const;

/** A name of the world, or null for none of them. */
function serverOrNull(at: Cursor, servers: ReadonlySet<string>): string | null {
  return at.isNull ? null : server(at, servers);
}

function server(at: Cursor, servers: ReadonlySet<string>): string {
  const name = at.text();
  if (!servers.has(name)) at.problem(`${JSON.stringify(name)} is no server of this world`);
  return name;
}

function upstream(at: Cursor): UpstreamExpectation {
  const f = at.fields(['method', 'path', 'headers']);
  return {
    ...(f.method && {method: f.method.text()}),
    ...(f.path && {path: f.path.text()}),
    ...(f.headers && {
      headers: Object.fromEntries(
        f.headers
          .entries()
          .map(({name, value}) => [
            name.toLowerCase(),
            value.isNull ? null : value.isList ? value.items().map((line) => line.scalarText()) : value.scalarText(),
          ]),
      ),
    }),
  };
}

/** Reads `expect`. `servers` are the names that `reached` and its kind may use. */
export function readExpectation(at: Cursor, servers: ReadonlySet<string>): Expectation {
  const f = at.fields(FIELDS);
  return {
    ...(f.verdict && {verdict: f.verdict.oneOf(['allow', 'deny'])}),
    ...(f.status && {status: f.status.integer(100, 599)}),
    ...(f.responses && {responses: f.responses.items().map((one) => one.integer(100, 599))}),
    ...(f.refused && {refused: f.refused.boolean()}),
    ...(f.closed && {closed: f.closed.boolean()}),
    ...(f.headers && {
      headers: Object.fromEntries(
        f.headers.entries().map(({name, value}) => [name.toLowerCase(), value.isNull ? null : value.scalarText()]),
      ),
    }),
    ...(f.body && {body: f.body.scalarText()}),
    ...(f.reached && {reached: serverOrNull(f.reached, servers)}),
    ...(f.notReached && {notReached: server(f.notReached, servers)}),
    ...(f.upstream && {upstream: upstream(f.upstream)}),
    ...(f.proxied && {proxied: serverOrNull(f.proxied, servers)}),
    ...(f.reason && {reason: f.reason.oneOf(REASONS)}),
    ...(f.rule && {rule: f.rule.isNull ? null : rule(f.rule)}),
    ...(f.wouldDeny && {
      wouldDeny: f.wouldDeny.isBoolean ? f.wouldDeny.boolean() : f.wouldDeny.oneOf<'unknown'>(['unknown']),
    }),
    ...(f.loadError && {loadError: f.loadError.scalarText()}),
  };
}

function rule(at: Cursor): string {
  const text = at.text();
  if (!/^[^/]+\/[^/]+$/.test(text)) at.problem('write policy/rule, or null where none decided');
  return text;
}
