import {describe, expect, test} from '@jest/globals';
import {compare, problems} from './compare.ts';
import {flips} from './flips.ts';
import type {Expectation} from './format/case.ts';
import {NOTHING_OBSERVED, type Observation} from './observation.ts';

const SERVERS = ['a.test', 'b.test', 'p.test'];

const seen: Observation = {
  ...NOTHING_OBSERVED,
  decision: {verdict: 'allow', reason: 'RuleAllowed', rule: 'p/r', wouldDeny: false},
  answer: {kind: 'response', status: 200, headers: new Map([['content-type', ['text/plain']]]), body: 'hello'},
  responses: [200, 200],
  closed: true,
  sightings: [
    {
      server: 'a.test',
      how: 'request',
      parent: false,
      passedOn: false,
      carriedBy: 'p.test',
      method: 'GET',
      target: '/x',
      headers: new Map([['x-a', ['1']]]),
    },
  ],
};

/** Every field there is, as it was seen. */
const expectation: Expectation = {
  verdict: 'allow',
  status: 200,
  responses: [200, 200],
  refused: false,
  closed: true,
  headers: {'content-type': 'text/*', 'x-none': null},
  body: 'hell',
  reached: 'a.test',
  notReached: 'b.test',
  upstream: {method: 'GET', path: '/x', headers: {'x-a': '1', 'x-b': null}},
  proxied: 'p.test',
  reason: 'RuleAllowed',
  rule: 'p/r',
  wouldDeny: false,
};

describe('the self-test', () => {
  test('what agrees passes, and each of its flips fails', () => {
    expect(problems(compare(expectation, seen, {network: true}))).toEqual([]);
    for (const flip of flips(expectation, SERVERS)) {
      expect([flip.field, problems(compare(flip.expect, seen, {network: true}))]).not.toEqual([flip.field, []]);
    }
  });

  test('every field that is expected is flipped, and under the name that the comparison gives it', () => {
    const fields = new Set(flips(expectation, SERVERS).map(({field}) => field));
    expect(fields).toEqual(new Set(compare(expectation, seen, {network: true}).map(({field}) => field)));
  });

  test('nothing expected of a refusal is left out either', () => {
    const refused: Observation = {...NOTHING_OBSERVED, sightings: [], answer: {kind: 'refused', how: 'reset'}};
    for (const flip of flips({refused: true, reached: null, proxied: null}, SERVERS)) {
      expect([flip.field, problems(compare(flip.expect, refused, {network: true}))]).not.toEqual([flip.field, []]);
    }
  });

  test('a load error is flipped into one that is not said', () => {
    const failed: Observation = {...NOTHING_OBSERVED, load: {error: 'unknown field "rule"'}};
    const [flip] = flips({loadError: 'rule'}, SERVERS);
    expect(problems(compare({loadError: 'rule'}, failed, {network: false}))).toEqual([]);
    expect(problems(compare(flip!.expect, failed, {network: false}))).not.toEqual([]);
  });

  test('one field is turned at a time', () => {
    for (const flip of flips({status: 200, verdict: 'allow'}, SERVERS)) {
      const same = Object.entries(flip.expect).filter(
        ([name, value]) => ({status: 200, verdict: 'allow'})[name] === value,
      );
      expect(same).toHaveLength(1);
    }
  });
});
