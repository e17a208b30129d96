import {describe, expect, test} from '@jest/globals';
import {dnsAnswer} from './dns.ts';

const addresses = new Map([
  ['both.test', ['5.6.7.8', '2a0e::1', '10.0.0.1']],
  ['four.test', ['5.6.7.9']],
]);
const ask = (name: string, type: 'A' | 'AAAA' | 'TXT') => dnsAnswer({id: 7, questions: [{name, type}]}, addresses);

describe("the world's resolver", () => {
  test.each([
    ['both.test', 'A', ['5.6.7.8', '10.0.0.1']],
    ['both.test', 'AAAA', ['2a0e::1']],
    ['BOTH.Test', 'A', ['5.6.7.8', '10.0.0.1']],
    ['four.test', 'AAAA', []],
    ['four.test', 'TXT', []],
  ] as const)('%s %s', (name, type, found) => {
    const answer = ask(name, type);
    expect(answer.answers?.map((one) => 'data' in one && one.data)).toEqual(found);
    expect((answer.flags ?? 0) & 0xf).toBe(0);
    expect(answer.id).toBe(7);
  });

  test('a name that is not in the world does not exist', () => {
    expect((ask('gone.test', 'A').flags ?? 0) & 0xf).toBe(3);
  });
});
