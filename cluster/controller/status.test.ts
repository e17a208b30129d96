import {describe, expect, test} from '@jest/globals';
import {readDocument, type UpstreamProxyDocument} from '../../policy/index.ts';
import type {Condition} from './conditions.ts';
import {resolved} from './resolved.ts';
import {difference, statusIn, toWrite, type Wish} from './status.ts';
import {reportWith} from './testing.ts';

const accepted: Condition = {type: 'Accepted', status: 'True', reason: 'Valid', message: '', observedGeneration: 1};
const pods = {selected: 3, enforced: 3, mesh: 0, summary: '3/3'};
const wish: Wish = {conditions: [accepted], pods};
const before = '2026-01-01T00:00:00Z';
const now = statusIn({status: {conditions: [{...accepted, lastTransitionTime: before}], pods}});

describe('a status is written', () => {
  test.each<[string, Wish, ReturnType<typeof difference>]>([
    ['not where all is the same', wish, 'none'],
    ['where counts changed, which can wait', {...wish, pods: {...pods, enforced: 2}}, 'text'],
    ['where a message changed, which can wait', {...wish, conditions: [{...accepted, message: 'm'}]}, 'text'],
    ['where the status changed', {...wish, conditions: [{...accepted, status: 'False'}]}, 'condition'],
    ['where the reason changed', {...wish, conditions: [{...accepted, reason: 'R'}]}, 'condition'],
    ['where the generation changed', {...wish, conditions: [{...accepted, observedGeneration: 2}]}, 'condition'],
    ['where a condition is new', {...wish, conditions: [accepted, {...accepted, type: 'Enforced'}]}, 'condition'],
    ['where one is gone', {...wish, conditions: []}, 'condition'],
  ])('%s', (_title, wished, expected) => {
    expect(difference(now, wished)).toBe(expected);
  });

  test('where nothing is there, and where somebody put something else there', () => {
    expect(difference(statusIn({}), wish)).toBe('condition');
    expect(difference(statusIn({status: {conditions: 'x', pods: 7}}), wish)).toBe('condition');
  });

  test('with the time of the last transition of its status, which another reason does not change', () => {
    const at = new Date('2026-02-02T02:02:02.345Z');
    const time = (condition: Condition): unknown =>
      (toWrite(now, {conditions: [condition], pods}, at)['conditions'] as {lastTransitionTime: string}[])[0]!
        .lastTransitionTime;
    expect(time({...accepted, reason: 'AcceptedWithWarnings'})).toBe(before);
    expect(time({...accepted, status: 'False'})).toBe('2026-02-02T02:02:02Z');
  });
});

describe('what an UpstreamProxy refers to', () => {
  const proxy = (more: object): UpstreamProxyDocument =>
    readDocument({
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'UpstreamProxy',
      metadata: {name: 'corp'},
      spec: {endpoints: [{url: 'http://10.1.2.3:3128'}], ...more},
    }).document as UpstreamProxyDocument;
  const plain = proxy({});
  const asking = proxy({auth: {secretRef: {name: 's', namespace: 'n'}}});
  const fine = reportWith();
  const lacking = reportWith({missingRefs: [{proxy: 'corp', message: 'no Secret n/s'}]});
  const other = reportWith({missingRefs: [{proxy: 'another', message: 'no Secret n/t'}]});

  test.each<[string, UpstreamProxyDocument, Record<string, ReturnType<typeof reportWith>>, string, string]>([
    ['is nothing', plain, {}, 'True', 'NothingReferred'],
    ['is not known without agents', asking, {}, 'Unknown', 'NoAgent'],
    ['was found by all', asking, {one: fine, two: other}, 'True', 'RefsFound'],
    ['is missing where one agent lacks it', asking, {one: fine, two: lacking}, 'False', 'RefsMissing'],
  ])('%s', (_title, document, reports, status, reason) => {
    expect(resolved(document, 5, new Map(Object.entries(reports)))).toMatchObject({
      type: 'Resolved',
      ...{status, reason, observedGeneration: 5},
    });
  });

  test('is told once, with the nodes that lack it', () => {
    const reports = new Map(['d', 'c', 'b', 'a'].map((node) => [node, lacking]));
    expect(resolved(asking, 1, reports).message).toBe('no Secret n/s (on a, b, c and 1 more)');
  });
});
