import {expect, test} from '@jest/globals';
import {parseAllDocuments} from 'yaml';
import {documentsText, withDocuments} from './documents.ts';

const policy = (name: string, namespace: string | null, mark: number) => ({
  kind: namespace === null ? 'ClusterEgressPolicy' : 'EgressPolicy',
  metadata: {name, ...(namespace === null ? {} : {namespace})},
  mark,
});

test('a document replaces the one of the same kind, namespace and name, and no other', () => {
  const before = [policy('a', 'x', 1), policy('a', 'y', 2), policy('a', null, 3)];
  expect(withDocuments(before, [policy('a', 'y', 20), policy('b', 'x', 4)])).toEqual([
    policy('a', 'x', 1),
    policy('a', 'y', 20),
    policy('a', null, 3),
    policy('b', 'x', 4),
  ]);
});

test('the file holds every document as it was', () => {
  const documents = [policy('a', 'x', 1), {kind: 'X', text: 'a: "b"\n- c', list: ['1', 1, null, true]}];
  expect(
    parseAllDocuments(documentsText(documents)).map((document) => 'toJS' in document && (document.toJS() as unknown)),
  ).toEqual(documents);
});
