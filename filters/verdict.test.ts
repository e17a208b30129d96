import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {readHostMessage, readVerdict} from './verdict.ts';

const ORIGINAL = ['Host', 'a.test', 'X-A', '1', 'Content-Length', '3'];
const reply = (fields: Record<string, unknown>) => readVerdict({id: 1, filter: 'f.ts', ...fields}, ORIGINAL);
const answer = (response: unknown) => reply({kind: 'answered', response});

describe('a reply of the filters’ process is taken', () => {
  test('that changed nothing: with the very headers that were sent', () => {
    const verdict = reply({kind: 'continue', headers: null});
    expect(verdict).toEqual({kind: 'continue', headers: ORIGINAL});
  });
  test('that changed what it may', () => {
    const headers = ['Host', 'a.test', 'X-B', '2', 'content-length', '3'];
    expect(reply({kind: 'continue', headers})).toEqual({kind: 'continue', headers});
  });
  test('that answers', () => {
    const response = {status: 418, headers: ['a', 'b'], body: 'no'};
    expect(answer(response)).toEqual({kind: 'answered', filter: 'f.ts', response});
  });
});

describe('a forged reply is a failure, not a way around', () => {
  const cases: [string, unknown, RegExp][] = [
    ['another Host', ['Host', 'evil.test', 'Content-Length', '3'], /changed Host/],
    ['a second Host', [...ORIGINAL, 'Host', 'a.test'], /changed Host/],
    ['no Host', ['X-A', '1', 'Content-Length', '3'], /changed Host/],
    ['no length', ['Host', 'a.test'], /changed Host/],
    ['a coding', [...ORIGINAL, 'Transfer-Encoding', 'chunked'], /changed Host/],
    ['a Connection', [...ORIGINAL, 'connection', 'x-a'], /changed Host/],
    ['a split line', [...ORIGINAL, 'x', 'a\r\nHost: evil.test'], /header line that is none/],
    ['a pseudo header', [...ORIGINAL, ':path', '/x'], /header line that is none/],
    ['numbers', [...ORIGINAL, 'x', 1], /header line that is none/],
    ['half a line', [...ORIGINAL, 'x'], /no list/],
    ['no list', 'x', /no list/],
    ['thousands of lines', Array.from({length: 2000}, () => 'x'), /over 512/],
  ];
  test.each(cases)('%s', (_what, headers, message) => {
    expect(reply({kind: 'continue', headers})).toMatchObject({kind: 'failed', message: expect.stringMatching(message)});
  });

  const answers: [string, unknown][] = [
    ['no response', null],
    ['a status of 101', {status: 101, headers: [], body: ''}],
    ['a status that is text', {status: '200', headers: [], body: ''}],
    ['a body that is none', {status: 200, headers: [], body: {}}],
    ['a body over the limit', {status: 200, headers: [], body: 'x'.repeat(300_000)}],
    ['a length', {status: 200, headers: ['Content-Length', '0'], body: 'x'}],
    ['a split header', {status: 200, headers: ['x', 'a\nb'], body: 'x'}],
  ];
  test.each(answers)('an answer with %s', (_what, response) => {
    expect(answer(response)).toMatchObject({kind: 'failed', filter: 'f.ts'});
  });

  test('whatever it says, it is never taken for a go-ahead with other protected lines, and never throws', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const message = readHostMessage(value);
        if (message.kind !== 'verdict') return;
        const verdict = readVerdict(message.raw, ORIGINAL);
        if (verdict.kind === 'continue') expect(verdict.headers).toEqual(expect.arrayContaining(['Host', 'a.test']));
      }),
    );
    fc.assert(
      fc.property(
        fc.record({
          kind: fc.constantFrom('continue', 'answered', 'failed', 'x'),
          headers: fc.anything(),
          response: fc.anything(),
          message: fc.anything(),
        }),
        (raw) => {
          const verdict = readVerdict(raw, ORIGINAL);
          if (verdict.kind === 'continue') expect(raw.headers).toBeNull();
        },
      ),
    );
  });
});
