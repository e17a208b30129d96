import {describe, expect, test} from '@jest/globals';
import {adviceOf, denialResponse, statusOf, type Denial} from './deny.ts';
import {REASONS} from './reasons.ts';

const denial: Denial = {
  id: 'abc123',
  reason: 'RuleDenied',
  policy: 'default/web',
  rule: 'no-admin',
  message: 'A Deny rule matches.',
};
const own = {status: 418, headers: ['content-type', 'text/html', 'x-help', 'wiki'], body: '<p>no</p>'};

describe('what a refused client is told', () => {
  test('the default names policy, rule, reason, id, and what to ask for', () => {
    const {status, headers, body} = denialResponse(denial, null);
    expect(status).toBe(403);
    expect(headers).toEqual([
      'content-type',
      'text/plain; charset=utf-8',
      'cache-control',
      'no-store',
      'x-sallyport-denial',
      'abc123',
    ]);
    for (const word of [
      'RuleDenied',
      'default/web',
      'no-admin',
      'abc123',
      'A Deny rule matches.',
      adviceOf('RuleDenied'),
    ])
      expect(body).toContain(word);
  });
  test("a policy's own words carry the id in a header", () => {
    expect(denialResponse(denial, own)).toEqual({
      status: 418,
      headers: [...own.headers, 'x-sallyport-denial', 'abc123'],
      body: '<p>no</p>',
    });
  });
  test("a policy's own status with the default body", () => {
    const response = denialResponse(denial, {...own, body: null});
    expect(response.status).toBe(418);
    expect(response.body).toContain('abc123');
  });
  test.each([
    ['MalformedRequest', 400],
    ['AmbiguousPath', 400],
    ['UnsupportedProtocol', 400],
    ['HostMismatch', 421],
    ['Unresolvable', 502],
    ['PolicyNotLoaded', 503],
    ['NoPolicySelects', 403],
    ['UnknownWorkload', 403],
  ] as const)('%s keeps its own status, %d, whatever the policy words', (reason, status) => {
    expect(denialResponse({...denial, reason}, own)).toMatchObject({status, body: expect.stringContaining('abc123')});
  });
  test('every reason has a status and advice', () => {
    for (const reason of REASONS) {
      expect([400, 403, 421, 502, 503]).toContain(statusOf(reason));
      expect(adviceOf(reason)).toMatch(/\.$/);
    }
  });
});
