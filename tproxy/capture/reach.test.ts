import {expect, test} from '@jest/globals';
import {parseReaches} from './reach.ts';

test.each([
  ['10.244.0.0/16', {cidr: '10.244.0.0/16', port: null}],
  ['192.168.7.10/32:6443', {cidr: '192.168.7.10/32', port: 6443}],
  ['fd00:10::/48', {cidr: 'fd00:10::/48', port: null}],
  ['fd00:10::/48:15012', {cidr: 'fd00:10::/48', port: 15012}],
])('%s', (text, expected) => expect(parseReaches([text], '--mesh-destination')).toEqual([expected]));

test.each(['10.244.0.0', '10.244.0.0/33', 'istiod:15012', '10.0.0.0/8:0', '10.0.0.0/8:65536', '10.0.0.0/8:', '/8', ''])(
  '%j is none, and it is said what to write',
  (text) =>
    expect(() => parseReaches([text], '--mesh-destination')).toThrow(
      expect.objectContaining({
        code: 'Usage',
        message: expect.stringContaining('--mesh-destination'),
        fix: expect.stringContaining('10.244.0.0/16'),
      }),
    ),
);
