import {readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, test} from '@jest/globals';
import {parseAllDocuments} from 'yaml';
import {inject as command} from '../cli/inject.ts';
import {loadDocuments, type UpstreamProxyDocument} from '../policy/index.ts';
import {mutate} from './admission.ts';
import {applied} from './patch-applied.ts';
import type {Operation} from './patch.ts';
import type {Namespace, Pod} from './pod.ts';
import {readInstallation} from './settings.ts';

const FOLDER = join(import.meta.dirname, 'testdata');
const inputs = readdirSync(FOLDER).filter(
  (name) => !name.endsWith('.injected.yaml') && name !== 'installation.yaml' && name !== 'proxies.yaml',
);

/** What the command prints for a file of the folder. */
async function injected(file: string): Promise<{code: number; stdout: string; stderr: string}> {
  let stdout = '';
  let stderr = '';
  const code = await command(
    ['-f', file, '--config', join(FOLDER, 'installation.yaml'), '--policy', join(FOLDER, 'proxies.yaml')],
    {stdout: (text) => void (stdout += text), stderr: (text) => void (stderr += text)},
  );
  return {code, stdout, stderr};
}

describe('golden pairs, x.yaml and x.injected.yaml (UPDATE_GOLDEN=1 writes them)', () => {
  test.each(inputs)('%s', async (name) => {
    const {code, stdout, stderr} = await injected(join(FOLDER, name));
    expect(code).toBe(0);
    const golden = join(FOLDER, name.replace('.yaml', '.injected.yaml'));
    const text = stdout + stderr.replaceAll(/^/gm, '# ').replace(/# $/, '');
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, text);
    expect(text).toBe(readFileSync(golden, 'utf8'));
  });

  test.each(inputs)('%s injected twice is injected once', async (name) => {
    const golden = join(FOLDER, name.replace('.yaml', '.injected.yaml'));
    const {stdout} = await injected(golden);
    const once = readFileSync(golden, 'utf8').replaceAll(/^# .*\n?/gm, '');
    expect(stdout).toBe(once);
  });

  test.each(inputs)('%s: the webhook patches it to the same', (name) => {
    const read = (file: string): Pod[] =>
      parseAllDocuments(readFileSync(join(FOLDER, file), 'utf8')).map((document) => document.toJS() as Pod);
    const proxies = loadDocuments([{file: 'proxies.yaml', text: readFileSync(join(FOLDER, 'proxies.yaml'), 'utf8')}]);
    const installation = readInstallation(
      'installation.yaml',
      readFileSync(join(FOLDER, 'installation.yaml'), 'utf8'),
      new Map(proxies.documents.map((document) => [document.name, document as UpstreamProxyDocument])),
    ).value!;
    const namespaces = new Map<string, Namespace>();
    const expected = read(name.replace('.yaml', '.injected.yaml'));
    for (const [i, object] of read(name).entries()) {
      const {metadata} = object;
      const {labels = {}, annotations = {}, namespace = 'default'} = metadata;
      if (object['kind'] === 'Namespace') namespaces.set(metadata.name!, {name: metadata.name!, labels, annotations});
      if (object['kind'] !== 'Pod') continue;
      const request = {uid: 'u-1', namespace, kind: 'create', pod: object} as const;
      const known = namespaces.get(namespace) ?? {name: namespace, labels: {}, annotations: {}};
      const {patch = ''} = mutate(request, known, installation);
      const operations = JSON.parse(Buffer.from(patch, 'base64').toString() || '[]') as Operation[];
      expect(applied(object, operations)).toEqual(expected[i]);
    }
  });
});
