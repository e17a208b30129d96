/** Golden pairs: testdata/NAME.in.yaml is given, testdata/NAME.out.yaml comes out. UPDATE_GOLDEN=1 writes what comes out. */
import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {describe, expect, test} from '@jest/globals';
import {parseAllDocuments} from 'yaml';
import {formatFinding, loadDocuments, type UpstreamProxyDocument} from '../policy/index.ts';
import {helmValues} from './merge.ts';
import {meshSettings} from './mesh-settings.ts';
import {translate} from './translate.ts';
import {yamlOf} from './yaml.ts';

const folder = new URL('testdata/', import.meta.url);
const NAMES = readdirSync(folder)
  .filter((file) => file.endsWith('.in.yaml'))
  .map((file) => file.slice(0, -'.in.yaml'.length));

/** What the command says to such a file: objects and mesh configuration, or findings. */
function outcome(name: string): string {
  const file = `${name}.in.yaml`;
  const {documents, setups, findings} = loadDocuments([{file, text: readFileSync(new URL(file, folder), 'utf8')}]);
  const say = (all: typeof findings): string => all.map((one) => `# ${formatFinding(one)}\n`).join('');
  if (findings.length > 0) return say(findings);
  const proxies = documents.filter((one): one is UpstreamProxyDocument => one.kind === 'UpstreamProxy');
  const {objects, findings: own} = translate(setups[0]!, proxies);
  if (own.length > 0) return say([...own]);
  return `${yamlOf(objects)}---\n# Helm values of istiod\n${helmValues(meshSettings(setups[0]!))}`;
}

describe('intent to Istio objects', () => {
  test.each(NAMES)('%s', (name) => {
    const golden = new URL(`${name}.out.yaml`, folder);
    const made = outcome(name);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, made);
    expect(made).toBe(existsSync(golden) ? readFileSync(golden, 'utf8') : '');
    expect(outcome(name)).toBe(made);
  });

  test.each(NAMES)('%s: YAML 1.1 reads the same as YAML 1.2', (name) => {
    const text = readFileSync(new URL(`${name}.out.yaml`, folder), 'utf8');
    const read = (version: '1.1' | '1.2'): unknown =>
      parseAllDocuments(text, {version}).map((one) => one.toJS() as unknown);
    expect(read('1.1')).toEqual(read('1.2'));
  });
});
