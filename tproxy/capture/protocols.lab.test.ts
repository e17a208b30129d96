/** Images without a distribution's /etc/protocols: nft knows only its own names there. */
import {spawnSync} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect} from '@jest/globals';
import {labTest} from '../../test/lab/require.ts';

const TESTDATA = join(import.meta.dirname, 'testdata');
const rulesets = readdirSync(TESTDATA).filter((name) => name.endsWith('.nft') && !name.includes('guard'));

labTest('nft', 'unshare').each(rulesets)('%s loads where no file names the protocols', (name) => {
  const load = 'mount --bind /dev/null /etc/protocols && exec nft -f -';
  const {status, stderr} = spawnSync('unshare', ['--net', '--mount', 'sh', '-c', load], {
    input: readFileSync(join(TESTDATA, name), 'utf8'),
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});
