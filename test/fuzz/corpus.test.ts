/** The kept inputs of every target, once more: what reached something, and what broke something and must not again. */
import {describe, expect, test} from '@jest/globals';
import {readCorpus} from './corpus.ts';
import {minimise} from './minimise.ts';
import {mutate} from './mutate.ts';
import {createRandom, cutsOf} from './random.ts';
import {TARGETS} from './targets/index.ts';

describe('the corpus of', () => {
  test.each(TARGETS)('$name', (target) => {
    const inputs = [
      ...target.seeds.map((seed) => (typeof seed === 'string' ? Buffer.from(seed, 'latin1') : seed)),
      ...readCorpus(target.name, 'inputs'),
      ...readCorpus(target.name, 'found'),
    ];
    // A target without a corpus would prove nothing.
    expect(inputs.length).toBeGreaterThan(target.seeds.length);
    for (const input of inputs) target.run(input);
  });
});

describe('the fuzzer', () => {
  test('changes an input the same way for the same seed, and within its bounds', () => {
    const material = {dictionary: [Buffer.from('word')], other: () => Buffer.from('another'), maxBytes: 20};
    const changed = (seed: number): string[] => {
      const random = createRandom(seed);
      return Array.from({length: 200}, () => mutate(Buffer.from('an\ninput'), random, material).toString('latin1'));
    };
    expect(changed(7)).toEqual(changed(7));
    expect(new Set(changed(7)).size).toBeGreaterThan(100);
    expect(changed(7).every((text) => text.length <= 20)).toBe(true);
    expect(changed(7).some((text) => text.includes('word'))).toBe(true);
  });

  test('cuts an input into pieces that are the input', () => {
    const input = Buffer.from('0123456789'.repeat(20));
    for (const pieces of cutsOf(input)) expect(Buffer.concat([...pieces])).toEqual(input);
  });

  test('makes what breaks small, and it still breaks', () => {
    const small = minimise(Buffer.from('xxxx needle yyyy'), (candidate) => candidate.includes('need'));
    expect(small.toString()).toBe('need');
  });
});
