import {describe, expect, test} from '@jest/globals';
import {loadDocuments, type Finding} from '../../policy/index.ts';
import {accepted} from './conditions.ts';

const findingsOf = (rule: string): readonly Finding[] =>
  loadDocuments([
    {
      file: 'p.yaml',
      text: `apiVersion: sallyport.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: p, namespace: a}\nspec: {podSelector: {}, rules: [{${rule}}]}\n`,
    },
  ]).findings;

describe('the Accepted condition', () => {
  test('of an object without findings is True, Valid', () => {
    expect(accepted([], 3)).toEqual({
      type: 'Accepted',
      status: 'True',
      reason: 'Valid',
      message: '',
      observedGeneration: 3,
    });
  });

  test('with an error is False, its reason the first error, its message each of them with its path and fix', () => {
    const {status, reason, message} = accepted(findingsOf('name: r, to: {hosts: ["5.6.7.8", "a b"]}'), 1);
    expect([status, reason]).toEqual(['False', 'BadHost']);
    const lines = message.split('\n');
    expect(lines[0]).toMatch(
      /^BadHost: "5\.6\.7\.8": .*Move it to `to\.cidrs`.*\(EgressPolicy a\/p spec\.rules\[0\]\.to\.hosts\[0\]\)$/,
    );
    expect(lines[1]).toMatch(/hosts\[1\]/);
  });

  test('with warnings alone is True and tells them', () => {
    const warned = findingsOf('name: r, to: {hosts: [a.test], schemes: [tcp], ports: [443]}');
    expect(accepted(warned, 1)).toMatchObject({
      status: 'True',
      reason: 'AcceptedWithWarnings',
      message: expect.stringMatching(/^TcpSharedAddress: /),
    });
  });

  test('is never longer than a page', () => {
    const many = Array.from({length: 1_000}, () => findingsOf('name: r, to: {}')[0]!);
    expect(accepted(many, 1).message.length).toBeLessThanOrEqual(4_096);
  });
});
