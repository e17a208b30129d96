/** What nft makes of our rules has the shape that they have as we write them. */
import {spawnSync} from 'node:child_process';
import {readFileSync, readdirSync} from 'node:fs';
import {join} from 'node:path';
import {expect} from '@jest/globals';
import {labTest} from '../../test/lab/require.ts';
import {shapeOf} from './listing.ts';

const GOLDEN = join(import.meta.dirname, '../../tproxy/capture/testdata');
const files = readdirSync(GOLDEN).filter((name) => /^[\w-]+\.nft$/.test(name));

labTest('nft', 'unshare').each(files)('%s', (file) => {
  const rules = readFileSync(join(GOLDEN, file), 'utf8');
  const script = 'nft -f - && nft -s list ruleset';
  const {status, stdout, stderr} = spawnSync('unshare', ['-n', 'sh', '-c', script], {input: rules, encoding: 'utf8'});
  expect({status, stderr}).toEqual({status: 0, stderr: ''});
  expect(shapeOf(rules).split('\n').length).toBeGreaterThan(50);
  expect(shapeOf(stdout)).toBe(shapeOf(rules));
});
