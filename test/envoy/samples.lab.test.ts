import {spawnSync} from 'node:child_process';
import {readdirSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {describe, expect} from '@jest/globals';
import {ENVOY_VERSIONS, envoyBinary} from './index.ts';
import {envoyTest} from './require.ts';

const SAMPLES = fileURLToPath(new URL('../../samples/envoy/', import.meta.url));
const FILES = readdirSync(SAMPLES).filter((file) => file.endsWith('.yaml'));

describe.each([...ENVOY_VERSIONS])('Envoy %s', (version) => {
  // The other tests replace paths and the admin interface; this takes the files as they are.
  envoyTest(version).each(FILES)('takes samples/envoy/%s as it is, without a warning', (file) => {
    const argv = ['--mode', 'validate', '--log-level', 'warning', '-c', join(SAMPLES, file)];
    // A pipe of the shell's: Node's are sockets, and Envoy opens /dev/stdout by name.
    const piped = [
      '-c',
      'out=$("$@"); status=$?; printf %s "$out"; exit $status',
      'sh',
      envoyBinary(version)!,
      ...argv,
    ];
    const {status, stdout, stderr} = spawnSync('sh', piped, {encoding: 'utf8'});
    expect([status, stderr, stdout]).toEqual([0, '', expect.stringContaining('OK')]);
  });
});
