import {expect, test} from '@jest/globals';
import {becoming} from './become-proxy.ts';

test('a pod’s proxy is another user with raw sockets alone, and can never be more', () => {
  expect(becoming(['node', 'main'])).toEqual([
    ...['setpriv', '--reuid=15080', '--regid=15080', '--keep-groups', '--no-new-privs', '--inh-caps=-all,+net_raw'],
    ...['--ambient-caps=-all,+net_raw', '--bounding-set=-all,+net_raw', '--', 'node', 'main'],
  ]);
});
