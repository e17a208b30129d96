/** One rule: what the shape cannot say, and the rule as compiling wants it. */
import {compileCondition} from '../cel/compile.ts';
import type {Mutations} from '../decision.ts';
import type {RuleDocument, Scheme} from '../documents.ts';
import {parsePathGlob} from '../match/globs.ts';
import type {RawRule} from '../schema/kinds.ts';
import {readMutations, readValueGlobs} from './headers.ts';
import {isRuleName, isSubdomain, isToken} from './names.ts';
import {readCidrs, readHosts, readPorts} from './destination.ts';
import {quote, type Trail} from './trail.ts';

type RawHttp = NonNullable<RawRule['http']>;

/** Where tcp by name is misleading: servers of many sites share addresses on these ports. */
const SHARED_PORTS = [80, 443];

/** Reads a rule that has the right shape; errors are reported on the trail, which stands on the rule. */
export function readRule(raw: RawRule, trail: Trail): RuleDocument {
  const action = raw.action ?? 'Allow';
  const schemes = readSchemes(raw, trail);
  /** Whether it is decided without the request. */
  const opaque = schemes?.find((scheme) => scheme === 'tls' || scheme === 'tcp') ?? null;

  if (!isRuleName(raw.name))
    trail.within(raw, 'name', () =>
      trail.error(
        'BadName',
        `${quote(raw.name)} is no rule name`,
        'Use printable ASCII without "/", and no spaces at the ends.',
      ),
    );
  const to = trail.within(raw, 'to', () => readDestination(raw, schemes, trail));
  const http = readPart(raw, 'http', trail, (part) => readHttp(part, trail));
  const request =
    readPart(raw, 'request', trail, (part) => readMutations(part, trail)) ?? readMutations(undefined, trail);
  const response =
    readPart(raw, 'response', trail, (part) => readMutations(part, trail)) ?? readMutations(undefined, trail);

  if (opaque !== null && http !== null) refuseUninspected(raw, 'http', `a ${opaque} rule sees no request`, trail);
  for (const [part, mutations] of [
    ['request', request],
    ['response', response],
  ] as const) {
    if (isEmpty(mutations)) continue;
    if (opaque !== null) refuseUninspected(raw, part, `a ${opaque} rule changes nothing`, trail);
    else if (action === 'Deny')
      trail.within(raw, part, () =>
        trail.error(
          'DenyHasNoEffect',
          'a Deny changes no headers: nothing is sent on',
          "Leave it out; the policy's `deny` says what the client is answered.",
          'key',
        ),
      );
  }
  if (raw.when !== undefined) readCondition(raw, raw.when, action, opaque === null, trail);
  if (raw.via !== undefined) readVia(raw, raw.via, action, trail);

  return {
    name: raw.name,
    action,
    to,
    http,
    when: raw.when ?? null,
    request,
    response,
    via: raw.via ?? null,
    at: trail.position(),
  };
}

function readPart<K extends 'http' | 'request' | 'response', T>(
  raw: RawRule,
  key: K,
  trail: Trail,
  read: (part: NonNullable<RawRule[K]>) => T,
): T | null {
  const part = raw[key];
  return part === undefined ? null : trail.within(raw, key, () => read(part as NonNullable<RawRule[K]>));
}

const isEmpty = (mutations: Mutations): boolean =>
  mutations.remove.length === 0 && Object.keys(mutations.set).length === 0 && Object.keys(mutations.add).length === 0;

function refuseUninspected(raw: RawRule, part: 'http' | 'request' | 'response', message: string, trail: Trail): void {
  trail.within(raw, part, () =>
    trail.error(
      'NeedsInspection',
      message,
      `Leave ${part} out, or write it in a rule of its own with schemes [https].`,
      'key',
    ),
  );
}

function readSchemes(raw: RawRule, trail: Trail): readonly Scheme[] | null {
  const {schemes} = raw.to;
  if (schemes === undefined) return null;
  schemes.forEach((scheme, i) => {
    if (schemes.indexOf(scheme) === i) return;
    trail.within(raw, 'to', () =>
      trail.within(raw.to, 'schemes', () =>
        trail.within(schemes, i, () => trail.error('DuplicateEntry', `${scheme} is written twice`, 'Keep one.')),
      ),
    );
  });
  return schemes;
}

function readDestination(raw: RawRule, schemes: readonly Scheme[] | null, trail: Trail): RuleDocument['to'] {
  const {to} = raw;
  const allow = raw.action !== 'Deny';
  const tcp = schemes?.includes('tcp') === true;
  const hosts = to.hosts === undefined ? [] : trail.within(to, 'hosts', () => readHosts(to.hosts!, trail));
  const cidrs = to.cidrs === undefined ? [] : trail.within(to, 'cidrs', () => readCidrs(to.cidrs!, trail));
  const ports = to.ports === undefined ? null : trail.within(to, 'ports', () => readPorts(to.ports!, trail));

  // By omission this would be every destination there is.
  if ((to.hosts ?? []).length === 0 && (to.cidrs ?? []).length === 0)
    trail.error(
      'EmptyDestination',
      '`to` names no destination',
      'Write hosts or cidrs; hosts ["*"] for every name, cidrs ["0.0.0.0/0", "::/0"] for every address.',
    );
  if (allow && tcp) {
    to.hosts?.forEach((host, i) => {
      if (!host.startsWith('*')) return;
      trail.within(to, 'hosts', () =>
        trail.within(to.hosts!, i, () =>
          trail.error(
            'TcpWildcard',
            `tcp reads no name, so ${quote(host)} cannot be told from other traffic`,
            'Write exact names or cidrs, or use schemes [tls].',
          ),
        ),
      );
    });
    if (ports === null)
      trail.error('TcpWithoutPorts', 'a tcp rule without ports', 'Add ports: tcp has no default port.');
    else if (
      hosts.length > 0 &&
      SHARED_PORTS.some((port) => ports.some(({from, to: last}) => from <= port && port <= last))
    )
      trail.within(to, 'hosts', () =>
        trail.warning(
          'TcpSharedAddress',
          'tcp by name on port 80 or 443 allows whatever else is served at the addresses of that name',
          'Use schemes [https], [http] or [tls], which look at the name.',
          'key',
        ),
      );
  }
  return {hosts, cidrs, schemes, ports};
}

function readHttp(raw: RawHttp, trail: Trail): RuleDocument['http'] {
  raw.methods?.forEach((method, i) =>
    trail.within(raw, 'methods', () => trail.within(raw.methods!, i, () => checkMethod(method, trail))),
  );
  raw.paths?.forEach((path, i) => {
    const parsed = parsePathGlob(path);
    if (!parsed.ok)
      trail.within(raw, 'paths', () =>
        trail.within(raw.paths!, i, () => trail.error('BadGlob', `${quote(path)}: ${parsed.message}`, parsed.fix)),
      );
  });
  const globs = (of: 'headers' | 'query') =>
    raw[of] === undefined ? {} : trail.within(raw, of, () => readValueGlobs(raw[of]!, trail, of));
  const headers = globs('headers');
  const query = globs('query');
  const methods = raw.methods ?? null;
  const paths = raw.paths ?? null;
  const conditions = methods ?? paths ?? [...Object.keys(headers), ...Object.keys(query)];
  return conditions.length === 0 ? null : {methods, paths, headers, query};
}

/** RFC 9110 §9.1: methods are case-sensitive, so `get` is another one than GET, and no rule that means GET. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH', 'CONNECT']);

function checkMethod(method: string, trail: Trail): void {
  if (method === '*') trail.error('BadMethod', '"*" is no method', 'Leave methods out for any method.');
  else if (!isToken(method)) trail.error('BadMethod', `${quote(method)} is no method`, 'Write a name such as GET.');
  else if (!METHODS.has(method) && METHODS.has(method.toUpperCase()))
    trail.error(
      'BadMethod',
      `methods are case-sensitive, and clients do not send ${method}`,
      `Write ${method.toUpperCase()}.`,
    );
}

function readCondition(raw: RawRule, source: string, action: 'Allow' | 'Deny', inspected: boolean, trail: Trail): void {
  const compiled = compileCondition(source, {sees: inspected ? 'request' : 'connection'});
  trail.within(raw, 'when', () => {
    if (!compiled.ok) {
      trail.error(
        'BadCondition',
        `at character ${compiled.at + 1}: ${compiled.message}`,
        'A condition is a CEL expression of type bool over request, source, destination and tls.',
      );
      return;
    }
    if (action === 'Allow') return;
    for (const {text, guard} of compiled.unguarded)
      trail.warning(
        'UnguardedCondition',
        `where ${text} is missing the condition is unknown, and this Deny denies`,
        `If that is not meant, write ${guard} && in front.`,
      );
  });
}

function readVia(raw: RawRule, via: string, action: 'Allow' | 'Deny', trail: Trail): void {
  trail.within(raw, 'via', () => {
    if (action === 'Deny') trail.error('DenyHasNoEffect', 'a Deny goes nowhere', 'Leave via out.', 'key');
    if (via !== 'Direct' && !isSubdomain(via))
      trail.error(
        'BadName',
        `${quote(via)} is no UpstreamProxy's name`,
        via.toLowerCase() === 'direct'
          ? 'Did you mean Direct?'
          : 'Write the metadata.name of an UpstreamProxy, or Direct.',
      );
  });
}
