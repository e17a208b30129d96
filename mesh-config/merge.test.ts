import {describe, expect, test} from '@jest/globals';
import {parse} from 'yaml';
import {helmValues, mergeConfigMap, mergeMesh} from './merge.ts';

const SETTINGS = {outboundTrafficPolicy: {mode: 'REGISTRY_ONLY'}, pathNormalization: {normalization: 'NONE'}};

describe('the mesh configuration', () => {
  test('what it says beside ours stays: comments, order, unknown fields', () => {
    const before = `# ours, by the platform team
trustDomain: corp.example
outboundTrafficPolicy:
  mode: ALLOW_ANY # until the audit
somethingNew: {a: [1, 2]}
`;
    expect(mergeMesh(before, SETTINGS)).toBe(`# ours, by the platform team
trustDomain: corp.example
outboundTrafficPolicy:
  mode: REGISTRY_ONLY # until the audit
somethingNew: { a: [ 1, 2 ] }
pathNormalization:
  normalization: NONE
`);
  });

  test.each([
    ['nothing', '', ''],
    ['a comment alone', '# ours\n', '# ours\n\n'],
  ])('into %s it is written line by line', (_what, before, kept) => {
    expect(mergeMesh(before, SETTINGS)).toBe(
      `${kept}outboundTrafficPolicy:\n  mode: REGISTRY_ONLY\npathNormalization:\n  normalization: NONE\n`,
    );
  });

  test('of a list of named entries ours is replaced, or put behind those of others', () => {
    const ours = {extensionProviders: [{name: 'sallyport', envoyExtAuthzGrpc: {port: 9000}}]};
    const others = 'extensionProviders:\n- name: tracing # theirs\n  zipkin: {port: 1}\n';
    const expected = `extensionProviders:\n  - name: tracing # theirs\n    zipkin: { port: 1 }\n  - name: sallyport\n    envoyExtAuthzGrpc:\n      port: 9000\n`;
    expect(mergeMesh(others, ours)).toBe(expected);
    expect(mergeMesh(`${expected}`.replace('port: 9000', 'port: 1'), ours)).toBe(expected);
  });

  test('merged twice it is the same as once', () => {
    const once = mergeMesh('trustDomain: y\n', SETTINGS);
    expect(mergeMesh(once, SETTINGS)).toBe(once);
  });

  test('in a ConfigMap it stays a text, and the other keys stay', () => {
    const before =
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n  mesh: "a: b"\n  meshNetworks: "networks: {}"\n';
    const after = parse(mergeConfigMap(before, SETTINGS)) as {data: Record<string, string>};
    expect(after.data['meshNetworks']).toBe('networks: {}');
    expect(parse(after.data['mesh']!)).toEqual({a: 'b', ...SETTINGS});
  });

  test('an alias in a place of ours is refused: what it stands for would be lost', () => {
    const providers = 'theirs: &them [{name: tracing}]\nextensionProviders: *them\n';
    expect(() => mergeMesh(providers, {extensionProviders: [{name: 'sallyport'}]})).toThrow(
      'extensionProviders is an alias',
    );
  });

  test.each([
    ['no YAML', '{', 'no YAML'],
    ['a list', '- a\n', 'no mapping'],
    ['another object', 'kind: Secret\ndata: {mesh: ""}\n', 'no ConfigMap'],
    ['a ConfigMap without mesh', 'kind: ConfigMap\ndata: {}\n', 'key mesh'],
  ])('%s is refused', (_what, text, says) => {
    expect(() => mergeConfigMap(text, SETTINGS)).toThrow(says);
  });

  test('as Helm values', () => {
    expect(parse(helmValues(SETTINGS))).toEqual({meshConfig: SETTINGS});
  });
});
