import {describe, expect, test} from '@jest/globals';
import {unknownKeys, wrongWords} from './words.ts';
import type {Pod} from './pod.ts';

const pod = (labels: Record<string, string>, annotations: Record<string, string> = {}): Pod => ({
  metadata: {labels, annotations},
  spec: {containers: []},
});

describe('a word that does not exist is named with those that do', () => {
  test.each<[string, Pod, string[]]>([
    ['none', pod({'sallyport.dev/capture': 'node', 'sallyport.dev/mtls': 'Off'}), []],
    ['capture', pod({'sallyport.dev/capture': 'nodes'}), ['sallyport.dev/capture is "nodes": write one of node, pod.']],
    [
      'an annotation',
      pod({}, {'sallyport.dev/trusts-ca': 'no', 'sallyport.dev/all-proxy': 'True'}),
      [
        'sallyport.dev/all-proxy is "True": write one of true, false.',
        'sallyport.dev/trusts-ca is "no": write one of true, false.',
      ],
    ],
  ])('%s', (_title, one, expected) => expect(wrongWords(one)).toEqual(expected));
});

describe('a key of ours that does not exist is warned of: it does nothing, and its author thinks that it does', () => {
  test.each<[string, Pod, string[]]>([
    ["nobody else's", pod({app: 'web', 'istio.io/rev': 'x'}), []],
    ['all that there are', pod({'sallyport.dev/mode': 'mesh'}, {'sallyport.dev/no-proxy': 'a'}), []],
    [
      'one with a letter too many',
      pod({'sallyport.dev/modes': 'tproxy'}),
      ['there is no sallyport.dev/modes: did you mean sallyport.dev/mode?'],
    ],
    [
      'one in other letters',
      pod({'sallyport.dev/Mode': 'tproxy'}),
      ['there is no sallyport.dev/Mode: did you mean sallyport.dev/mode?'],
    ],
    [
      'one that is near to none',
      pod({}, {'sallyport.dev/colour-of-the-day': 'x'}),
      ['there is no sallyport.dev/colour-of-the-day'],
    ],
  ])('%s', (_title, one, expected) => expect(unknownKeys(one)).toEqual(expected));
});
