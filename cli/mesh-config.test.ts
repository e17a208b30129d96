import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, describe, expect, test} from '@jest/globals';
import {parse, parseAllDocuments} from 'yaml';
import {main} from './main.ts';

const dir = mkdtempSync(join(tmpdir(), 'sallyport-mesh-config-'));
afterAll(() => rmSync(dir, {recursive: true, force: true}));

const write = (name: string, text: string): string => {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
};
const INTENT = write(
  'intent.yaml',
  'apiVersion: sallyport.dev/v1alpha1\nkind: MeshEgress\nmetadata: {name: default}\nspec: {enforcement: [{at: Sidecar, namespace: app}], proxies: [{name: corp}]}\n',
);
const PROXY = write(
  'proxy.yaml',
  'apiVersion: sallyport.dev/v1alpha1\nkind: UpstreamProxy\nmetadata: {name: corp}\nspec: {endpoints: [{url: "http://10.1.2.3:3128"}]}\n',
);

async function run(...argv: string[]): Promise<{code: number; stdout: string; stderr: string}> {
  const said = {stdout: '', stderr: ''};
  const code = await main(['mesh-config', ...argv], {
    stdout: (text) => void (said.stdout += text),
    stderr: (text) => void (said.stderr += text),
  });
  return {code, ...said};
}

describe('sallyport mesh-config', () => {
  test('generate prints the objects, questions before what they ask about', async () => {
    const {code, stdout, stderr} = await run('generate', '-f', INTENT, '-f', PROXY);
    expect([code, stderr]).toEqual([0, '']);
    const objects = parseAllDocuments(stdout).map((one) => one.toJS() as {kind: string; metadata: {name: string}});
    expect(objects.map(({kind, metadata}) => `${kind} ${metadata.name}`)).toEqual([
      'EnvoyFilter sallyport-sidecar-http',
      'EnvoyFilter sallyport-sidecar-tcp',
      'EnvoyFilter sallyport-proxy-corp',
      'ServiceEntry sallyport-proxy-corp',
    ]);
  });

  test('what is missing is said with its place, and nothing is printed', async () => {
    const {code, stdout, stderr} = await run('generate', '-f', INTENT);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('intent.yaml:1:1: error UnknownProxy: there is no UpstreamProxy corp.');
  });

  test('the mesh configuration, alone, as Helm values, and merged into a ConfigMap', async () => {
    const files = ['-f', INTENT, '-f', PROXY];
    const mesh = parse((await run('generate', ...files, '-o', 'mesh')).stdout) as object;
    expect(mesh).toMatchObject({outboundTrafficPolicy: {mode: 'REGISTRY_ONLY'}});
    expect(parse((await run('generate', ...files, '-o', 'values')).stdout)).toEqual({meshConfig: mesh});
    const before = write(
      'cm.yaml',
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n  mesh: |-\n    trustDomain: corp\n',
    );
    const after = parse((await run('generate', ...files, '-o', 'mesh', '--merge', before)).stdout) as {
      data: {mesh: string};
    };
    expect(parse(after.data.mesh)).toEqual({trustDomain: 'corp', ...mesh});
  });

  test('injector hands the httpProxyEnvs of an Istio resource to the injector, as its file and as our values', async () => {
    const istio = write(
      'istio.yaml',
      'kind: Istio\nspec: {httpProxyEnvs: {httpProxy: "http://squid.corp.example:3128"}}\n',
    );
    const envs = {httpProxyEnvs: {httpProxy: 'http://squid.corp.example:3128'}};
    expect(parse((await run('injector', '-f', istio)).stdout)).toEqual(envs);
    expect(parse((await run('injector', '-f', istio, '-o', 'values')).stdout)).toEqual({injector: envs});
    expect(await run('injector', '-f', istio, '-o', 'objects')).toMatchObject({code: 2, stdout: ''});
    expect(await run('injector', '-f', INTENT)).toMatchObject({code: 3, stdout: ''});
  });

  test.each([
    ['no action', [], 2, 'nothing to do'],
    ['an unknown action', ['genrate', '-f', INTENT], 2, 'Did you mean generate?'],
    ['no file', ['generate'], 2, 'no -f PATH'],
    ['a file as a word', ['generate', INTENT], 2, 'one word too many'],
    ['an unknown output', ['generate', '-f', INTENT, '-o', 'helm'], 2, 'objects, mesh, values'],
    ['a merge of nothing', ['generate', '-f', INTENT, '-f', PROXY, '--merge', INTENT], 2, '--merge is for -o mesh'],
    [
      'a flag of another action',
      ['generate', '-f', INTENT, '--kubeconfig', 'x'],
      2,
      '--kubeconfig is for diff, apply, verify',
    ],
    ['a cluster that is not named', ['diff', '-f', INTENT, '-f', PROXY], 2, 'no --kubeconfig'],
    ['a file that is not there', ['generate', '-f', join(dir, 'none.yaml')], 3, 'none.yaml'],
    ['no MeshEgress', ['generate', '-f', PROXY], 3, 'no MeshEgress'],
    [
      'two of them',
      [
        'generate',
        '-f',
        INTENT,
        '-f',
        write(
          'second.yaml',
          'apiVersion: sallyport.dev/v1alpha1\nkind: MeshEgress\nmetadata: {name: second}\nspec: {}\n',
        ),
      ],
      1,
      'a second MeshEgress',
    ],
    [
      'a merge into something else',
      ['generate', '-f', INTENT, '-f', PROXY, '-o', 'mesh', '--merge', INTENT],
      3,
      'no ConfigMap',
    ],
  ])('%s is refused', async (_what, argv, code, says) => {
    const result = await run(...argv);
    expect([result.code, result.stdout]).toEqual([code, '']);
    expect(result.stderr).toContain(says);
  });
});
