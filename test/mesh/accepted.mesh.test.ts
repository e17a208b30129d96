/** What is generated, in the eyes of Istio's own tools. */
import {readdirSync, readFileSync} from 'node:fs';
import {describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {analyze, validate} from './istioctl.ts';
import {fromIntent} from './generated.ts';
import {meshTest} from './require.ts';

const folder = new URL('../../mesh-config/testdata/', import.meta.url);
const NAMES = readdirSync(folder)
  .filter((file) => file.endsWith('.out.yaml'))
  .map((file) => file.slice(0, -'.out.yaml'.length))
  // Of some nothing comes out but findings.
  .filter((name) => readFileSync(new URL(`${name}.out.yaml`, folder), 'utf8').includes('apiVersion: '));

/** Without what istioctl says to every EnvoyFilter there is, and without its summaries. */
const findings = (text: string): readonly string[] =>
  text
    .split('\n')
    .filter(
      (line) => /\*|Error|Warning|Info/.test(line) && !line.includes('EnvoyFilter exposes internal implementation'),
    );

describe.each(NAMES)('%s', (name) => {
  const it = meshTest();
  const generated = fromIntent(readFileSync(new URL(`${name}.in.yaml`, folder), 'utf8'));

  it('istioctl validate finds nothing, and would', () => {
    expect(findings(validate(generated.yaml).text)).toEqual([]);
    const misspelt = generated.yaml.replace(/(max_early_data|exportTo)/, '$1_');
    if (misspelt !== generated.yaml) expect(findings(validate(misspelt).text)).not.toEqual([]);
  }, 60_000);

  it('istioctl analyze -A finds nothing of its own', () => {
    const namespaces = new Set(generated.objects.map(({object}) => object.metadata.namespace));
    const worlds = [...namespaces].map((namespace) =>
      stringify(
        {apiVersion: 'v1', kind: 'Namespace', metadata: {name: namespace, labels: {'istio-injection': 'enabled'}}},
        {compat: 'yaml-1.1'},
      ),
    );
    const {text} = analyze([...worlds, generated.yaml].join('---\n'), stringify(generated.settings));
    expect(findings(text)).toEqual([]);
  }, 60_000);
});
