import {isIP} from 'node:net';
import {TARGET_NAMES} from './case.ts';
import type {
  Action,
  ApplyAction,
  Expectation,
  HostPort,
  RawAction,
  RawPiece,
  RequestAction,
  RequestUrl,
  Step,
  UdpAction,
  WorkloadSpec,
} from './case.ts';
import type {Cursor} from './cursor.ts';
import {parseHostPort, parseUrl} from './places.ts';
import {readExpectation} from './read-expect.ts';

const KINDS = ['request', 'raw', 'ping', 'udp', 'apply'] as const;
/** A body is made in memory on both sides; more tells nothing that this does not. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;

/** What the steps of a case may name. */
export interface StepScope {
  readonly workloads: readonly WorkloadSpec[];
  readonly servers: ReadonlySet<string>;
}

export function readStep(at: Cursor, scope: StepScope): Step {
  const f = at.fields(['name', 'from', 'targets', 'expect', ...KINDS]);
  const first = scope.workloads[0] ?? {name: '', namespace: '', labels: {}, serviceAccount: '', trustsCa: true};
  let workload = first;
  if (f.from) {
    const named = scope.workloads.find((one) => one.name === f.from!.text());
    if (named === undefined) f.from.problem('no such workload in this case');
    workload = named ?? first;
  }
  if (!f.name) at.problem('a step has a name');
  const given = KINDS.filter((kind) => f[kind] !== undefined);
  if (given.length !== 1) at.problem(`a step has exactly one of ${KINDS.join(', ')}`);
  const kind = given[0] ?? 'apply';
  const expect: Expectation = f.expect ? readExpectation(f.expect, scope.servers) : {};
  if (kind !== 'apply' && Object.keys(expect).length === 0) at.problem('this step expects nothing');
  if (f.expect) fitting(f.expect, kind, expect);
  const targets = f.targets ? f.targets.items().map((one) => one.oneOf(TARGET_NAMES)) : null;
  if (targets?.length === 0) f.targets!.problem('name a target, or leave the field out');
  return {name: f.name?.text() ?? '', workload, targets, action: action(kind, f[kind] ?? at), expect, line: at.line};
}

/** Expectations that a kind of step has no answer to would never be checked, so they are mistakes. */
function fitting(at: Cursor, kind: (typeof KINDS)[number], expect: Expectation): void {
  const wrong = (field: string, why: string): void => at.problem(`${field}: ${why}`);
  if (kind === 'apply') {
    for (const field of Object.keys(expect))
      if (field !== 'loadError') wrong(field, 'an apply step can only expect loadError');
    return;
  }
  if (expect.loadError !== undefined) wrong('loadError', 'only an apply step loads');
  if (kind !== 'raw') {
    if (expect.responses !== undefined) wrong('responses', 'only a raw step sees more than one');
    if (expect.closed !== undefined) wrong('closed', 'only a raw step watches its connection');
  }
  if (kind === 'ping' || kind === 'udp') {
    for (const field of ['status', 'headers', 'body', 'upstream'] as const) {
      if (expect[field] !== undefined) wrong(field, `a ${kind} step has no HTTP response`);
    }
  }
  if (expect.refused === true && (expect.status !== undefined || expect.body !== undefined)) {
    wrong('refused', 'a refused connection has no response: leave out status and body');
  }
}

function action(kind: (typeof KINDS)[number], at: Cursor): Action {
  switch (kind) {
    case 'request':
      return request(at);
    case 'raw':
      return raw(at);
    case 'ping':
      return {kind, to: at.text()};
    case 'udp':
      return udp(at);
    case 'apply':
      return apply(at);
  }
}

function request(at: Cursor): RequestAction {
  const f = at.fields([
    'method',
    'url',
    'headers',
    'body',
    'bodyBytes',
    'http',
    'host',
    'sni',
    'connectTo',
    'connection',
    'pathAsIs',
    'via',
  ]);
  if (!f.url) at.problem('a request has a url');
  if (f.body && f.bodyBytes) f.bodyBytes.problem('body and bodyBytes: write one of them');
  return {
    kind: 'request',
    method: f.method?.text() ?? 'GET',
    url: f.url ? url(f.url) : parseUrl('http://invalid/')!,
    headers:
      f.headers?.entries().map(({name, value}) => ({
        name,
        values: value.isList ? value.items().map((line) => line.scalarText()) : [value.scalarText()],
      })) ?? [],
    body: f.body
      ? {kind: 'text', text: f.body.scalarText()}
      : f.bodyBytes
        ? {kind: 'bytes', bytes: f.bodyBytes.integer(0, MAX_BODY_BYTES)}
        : null,
    http: f.http?.oneOf(['1.1', '2']) ?? '1.1',
    host: f.host?.text() ?? null,
    sni: f.sni?.text() ?? null,
    connectTo: f.connectTo ? literalPort(f.connectTo) : null,
    connection: f.connection?.scalarText() ?? null,
    pathAsIs: f.pathAsIs?.boolean() ?? true,
    via: f.via?.oneOf(['captured', 'explicit']) ?? 'captured',
  };
}

function url(at: Cursor): RequestUrl {
  const read = parseUrl(at.text());
  if (read === null) at.problem('this is no http:// or https:// URL');
  return read ?? parseUrl('http://invalid/')!;
}

function hostPort(at: Cursor): HostPort {
  const read = parseHostPort(at.text());
  if (read === null) at.problem('write host:port; an IPv6 address in brackets');
  return read ?? {host: 'invalid', port: 1};
}

function literalPort(at: Cursor): HostPort {
  const read = hostPort(at);
  if (isIP(read.host) === 0 && read.host !== 'invalid')
    at.problem('write an address and a port: this is what is dialled');
  return read;
}

function latin1(at: Cursor): string {
  const text = at.text();
  for (const character of text) {
    if (character.codePointAt(0)! > 0xff) {
      at.problem('these texts are bytes (Latin-1): no character above U+00FF');
      break;
    }
  }
  return text;
}

function raw(at: Cursor): RawAction {
  const f = at.fields(['to', 'tls', 'send']);
  if (!f.to) at.problem('say where: to');
  if (!f.send) at.problem('say what: send');
  const t = f.tls?.fields(['sni', 'alpn']);
  return {
    kind: 'raw',
    to: f.to ? hostPort(f.to) : {host: 'invalid', port: 1},
    tls: t ? {sni: t.sni?.text() ?? null, alpn: t.alpn?.items().map((one) => one.text()) ?? []} : null,
    send: f.send?.items().map(piece) ?? [],
  };
}

function piece(at: Cursor): RawPiece {
  if (!at.isMapping) return {kind: 'bytes', latin1: latin1(at)};
  const f = at.fields(['sleep']);
  if (!f.sleep) at.problem('write a text, or {sleep: SECONDS}');
  return {kind: 'sleep', seconds: f.sleep?.number() ?? 0};
}

function udp(at: Cursor): UdpAction {
  const f = at.fields(['to', 'send']);
  if (!f.to) at.problem('say where: to');
  if (!f.send) at.problem('say what: send');
  return {kind: 'udp', to: f.to ? hostPort(f.to) : {host: 'invalid', port: 1}, latin1: f.send ? latin1(f.send) : ''};
}

function apply(at: Cursor): ApplyAction {
  return {kind: 'apply', documents: at.items().map((one) => one.value())};
}
