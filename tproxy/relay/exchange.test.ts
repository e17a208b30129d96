/** What an exchange does between the decision and the wire: filters, Audit, and living requests. */
import {afterEach, describe, expect, test} from '@jest/globals';
import type {FilterRequest, Filters, FilterVerdict} from '../../filters/contract.ts';
import {allow, deny, hello, usual, world, type World} from './testing/harness.ts';
import {settled} from './testing/settled.ts';

let w: World;
afterEach(() => w.close());

const GET = 'GET /a HTTP/1.1\r\nHost: a.test\r\nX-A: 1\r\n\r\n';

/** A filter whose verdicts the test gives. */
function scripted(verdict: (request: FilterRequest) => FilterVerdict, on: 'request' | 'response' = 'request') {
  const asked: FilterRequest[] = [];
  const pending: (() => void)[] = [];
  const filters: Filters & {later: boolean} = {
    hasRequest: on === 'request',
    hasResponse: on === 'response',
    later: false,
    request(request, done) {
      asked.push(request);
      if (filters.later) pending.push(() => done(verdict(request)));
      else done(verdict(request));
    },
    response(request, response, done) {
      asked.push({...request, headers: response.headers});
      if (filters.later) pending.push(() => done(verdict({...request, headers: response.headers})));
      else done(verdict({...request, headers: response.headers}));
    },
  };
  return {filters, asked, pending};
}

describe('request filters', () => {
  test('change headers, but never Host, framing or hop-by-hop ones', async () => {
    const {filters, asked} = scripted((request) => ({
      kind: 'continue',
      headers: [
        ...request.headers,
        'X-Filter',
        '1',
        'Host',
        'evil.test',
        'Content-Length',
        '9',
        'Transfer-Encoding',
        'chunked',
        'Connection',
        'close',
        'Proxy-Authorization',
        'x',
      ],
    }));
    w = await world({filters});
    const client = await w.tls();
    client.send(GET);
    await client.until((received) => received.endsWith('hello'));
    expect(w.requests[0]!.request).toMatchObject({
      authority: 'a.test',
      headers: ['X-A', '1', 'X-Filter', '1'],
      body: {kind: 'none'},
    });
    expect(asked[0]).toMatchObject({
      scheme: 'https',
      host: 'a.test',
      method: 'GET',
      path: '/a',
      workload: {namespace: 'default', name: 'pod'},
    });
  });

  test('answer themselves: a denial with their response, and the upstream is never asked', async () => {
    const {filters} = scripted(() => ({
      kind: 'answered',
      filter: 'f.ts',
      response: {status: 451, headers: ['content-type', 'text/plain'], body: 'by filter'},
    }));
    w = await world({filters});
    const client = await w.tls();
    client.send(GET);
    expect(await client.until((received) => received.endsWith('by filter'))).toMatch(/^HTTP\/1\.1 451 /);
    expect(w.decisions.map(({decision}) => [decision.verdict, decision.reason])).toEqual([['deny', 'FilterDenied']]);
    expect(w.requests).toHaveLength(0);
  });

  test('fail: the request is denied', async () => {
    const {filters} = scripted(() => ({kind: 'failed', filter: 'f.ts', message: 'overran its time'}));
    w = await world({filters});
    const client = await w.tls();
    client.send(GET);
    await client.until((received) => received.includes('FilterFailed'));
    expect(w.requests).toHaveLength(0);
  });

  test('are not asked about what the rules deny', async () => {
    const {filters, asked} = scripted((request) => ({kind: 'continue', headers: request.headers}));
    w = await world({filters});
    const client = await w.tls();
    client.send('GET /no HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await client.until((received) => received.endsWith('by the test'));
    expect(asked).toHaveLength(0);
  });

  test('that think while the policy changes do not carry the old decision over', async () => {
    const {filters, pending} = scripted((request) => ({kind: 'continue', headers: request.headers}));
    filters.later = true;
    w = await world({filters});
    const client = await w.tls();
    client.send(GET);
    await settled(() => pending.length === 1);
    w.decide = (request) => deny(request);
    w.relay.policiesChanged();
    pending[0]!();
    await client.until((received) => received.includes(' 418 '));
    expect(w.requests).toHaveLength(0);
  });

  test('leave the wire as it was while all is Audit', async () => {
    const {filters, asked} = scripted(() => ({kind: 'failed', filter: 'f.ts', message: 'x'}));
    w = await world({filters});
    w.decide = (request) => (request.traffic.kind === 'https' ? allow(request, {enforced: false}) : usual(request));
    const client = await w.tls();
    client.send(GET);
    await client.until((received) => received.endsWith('hello'));
    expect(asked).toHaveLength(0);
  });
});

describe('response filters', () => {
  test('see the head, and the body waits for them', async () => {
    const {filters, pending, asked} = scripted(
      (request) => ({kind: 'continue', headers: [...request.headers, 'X-Filtered', '1']}),
      'response',
    );
    filters.later = true;
    w = await world({filters});
    const client = await w.tls();
    client.send(GET);
    await settled(() => pending.length === 1);
    expect(client.received).toBe('');
    expect(asked[0]!.headers).toEqual(['Content-Type', 'text/plain']);
    pending[0]!();
    expect(await client.until((received) => received.endsWith('hello'))).toContain('X-Filtered: 1\r\n');
  });

  test('fail: nothing of the answer passes', async () => {
    const {filters} = scripted(() => ({kind: 'failed', filter: 'f.ts', message: 'x'}), 'response');
    w = await world({filters});
    const client = await w.tls();
    client.send(GET);
    const received = await client.until((text) => text.includes('FilterFailed'));
    expect(received).toMatch(/^HTTP\/1\.1 403 /);
    expect(received).not.toContain('hello');
    expect(w.requests[0]!.aborted).toBe(true);
    expect(w.flows[0]!.failure).toMatchObject({reason: 'FilterFailed'});
  });
});

test('in Audit a server whose certificate does not hold is passed through the next time; under Enforce it is not', async () => {
  w = await world();
  w.serve = (seen, event) => {
    if (event === 'end') seen.handlers.failed({reason: 'UpstreamUntrusted', message: 'expired'});
  };
  const audit = (enforced: boolean) => {
    w.decide = (request) => {
      if (request.traffic.kind === 'https') return allow(request, {enforced});
      return request.traffic.kind === 'tls' && !request.canInspect
        ? allow(request, {enforced, wouldDeny: 'unknown'})
        : usual(request);
    };
  };
  audit(true);
  for (let i = 0; i < 2; i++) {
    const client = await w.tls();
    client.send(GET);
    await client.until((received) => received.includes(' 502 '));
  }
  expect(w.tunnels).toHaveLength(0);
  audit(false);
  const client = await w.tls();
  client.send(GET);
  await client.until((received) => received.includes(' 502 '));
  const raw = await w.raw();
  const {connect} = await import('node:tls');
  connect({socket: raw, servername: 'a.test'}).on('error', () => undefined);
  await settled(() => w.tunnels.length === 1);
});

test('requests above the limit of a workload are 503 LimitExceeded', async () => {
  w = await world({limits: {requestsPerWorkload: 1}});
  w.serve = (seen, event) => {
    if (event === 'end' && seen.request.target === '/b') hello(seen, event);
  };
  const raw = await w.raw();
  const first = await w.tls({}, raw);
  first.send(GET);
  await settled(() => w.requests.length === 1);
  const second = await w.tls();
  second.send('GET /b HTTP/1.1\r\nHost: a.test\r\n\r\n');
  await second.until((received) => received.includes(' 503 '));
  raw.resetAndDestroy();
  await settled(() => w.requests[0]!.aborted);
  second.send('GET /b HTTP/1.1\r\nHost: a.test\r\n\r\n');
  await second.until((received) => received.endsWith('hello'));
});

test('a name that is looked up too often at once is refused for this workload', async () => {
  w = await world({limits: {lookupsPerWorkload: 0}});
  w.decide = (request, names) =>
    request.traffic.kind === 'https' && names.size === 0
      ? {needs: 'addresses', of: ['a.test'], recent: false}
      : usual(request);
  const client = await w.tls();
  client.send(GET);
  await client.until((received) => received.includes('LimitExceeded'));
  expect(w.requests).toHaveLength(0);
});

test('a kept connection does not look up what has left the cache without being counted', async () => {
  w = await world({limits: {lookupBurst: 1, lookupsPerSecond: 0}});
  w.decide = (request, names) =>
    request.traffic.kind === 'https' && names.size === 0
      ? {needs: 'addresses', of: ['a.test'], recent: false}
      : usual(request);
  const client = await w.tls();
  client.send(GET);
  await client.until((received) => received.endsWith('hello'));
  w.known = () => true;
  client.send(GET);
  await client.until((received) => received.split('hello').length === 3);
  w.known = () => false;
  client.send(GET);
  await client.until((received) => received.includes('LimitExceeded'));
});

test('the names of tcp rules are the operator’s: they count for no workload, however many there are', async () => {
  w = await world({limits: {lookupsPerWorkload: 2, lookupBurst: 2}});
  const of = ['a.test', 'b.test', 'c.test'];
  w.decide = (request, names) => (names.size === 0 ? {needs: 'addresses', of, recent: true} : allow(request));
  await w.plain();
  await settled(() => w.tunnels.length === 1);
  expect([w.limits, w.relay.held().lookups]).toEqual([[], 0]);
});

test('a decision that asks without end is a refusal', async () => {
  w = await world();
  w.decide = (request) =>
    request.traffic.kind === 'https' ? {needs: 'addresses', of: ['a.test'], recent: false} : usual(request);
  const client = await w.tls();
  client.send(GET);
  await client.until((received) => received.includes('Unresolvable'));
  expect(w.requests).toHaveLength(0);
});

test('a request that stands still is given up: 502, and the upstream aborted', async () => {
  w = await world({limits: {idleTimeoutMs: 1}});
  w.serve = () => undefined;
  const client = await w.tls();
  client.send(GET);
  await client.until((received) => received.includes(' 502 '));
  expect(w.requests[0]!.aborted).toBe(true);
});

test('a workload that invents names gets no more leaves than its share; known names go on', async () => {
  w = await world({limits: {mintBurst: 2, mintsPerSecond: 0}});
  await w.tls({servername: 'mint1.test'});
  await w.tls({servername: 'mint2.test'});
  await expect(w.tls({servername: 'mint3.test'})).rejects.toThrow();
  expect(w.decisions.at(-1)!.decision.reason).toBe('LimitExceeded');
  await w.tls({servername: 'mint1.test'});
});

test('an answer of more bytes than a turn moves is whole, and its server waits in between', async () => {
  w = await world({limits: {bytesPerTurn: 1_000}});
  let sent = 0;
  let waits = 0;
  w.serve = (seen, event) => {
    if (event === 'head' || seen.aborted) return;
    if (event === 'end') seen.handlers.head(200, [], 5_000);
    while (sent < 5_000) {
      sent += 500;
      if (!seen.handlers.body(Buffer.alloc(500, 'x'))) {
        waits++;
        return;
      }
    }
    seen.handlers.end([]);
  };
  const client = await w.tls();
  client.send(GET);
  const received = await client.until((text) => text.endsWith('x'.repeat(5_000)));
  expect(received).toContain(' 200 ');
  expect(waits).toBe(5);
});
