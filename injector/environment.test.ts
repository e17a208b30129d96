import {describe, expect, test} from '@jest/globals';
import {appendOptions, hidesEnvFrom, setOnce, setPair} from './environment.ts';
import type {Container, EnvVar} from './pod.ts';

const container = (...env: EnvVar[]): Container => ({name: 'app', env});
const secret = {secretKeyRef: {name: 'proxy', key: 'url'}};

describe('HTTP_PROXY and http_proxy', () => {
  test.each<[string, EnvVar[], EnvVar[]]>([
    [
      'are both set where the author set neither',
      [],
      [
        {name: 'HTTP_PROXY', value: 'ours'},
        {name: 'http_proxy', value: 'ours'},
      ],
    ],
    [
      "are the author's where the upper case is",
      [{name: 'HTTP_PROXY', value: 'own'}],
      [
        {name: 'HTTP_PROXY', value: 'own'},
        {name: 'http_proxy', value: 'own'},
      ],
    ],
    [
      "are the author's where the lower case is, even an empty one",
      [{name: 'http_proxy', value: ''}],
      [
        {name: 'http_proxy', value: ''},
        {name: 'HTTP_PROXY', value: ''},
      ],
    ],
    [
      'stay different where the author made them so',
      [
        {name: 'http_proxy', value: 'a'},
        {name: 'HTTP_PROXY', value: 'b'},
      ],
      [
        {name: 'http_proxy', value: 'a'},
        {name: 'HTTP_PROXY', value: 'b'},
      ],
    ],
    [
      'come from one reference where one does',
      [{name: 'HTTP_PROXY', valueFrom: secret}],
      [
        {name: 'HTTP_PROXY', valueFrom: secret},
        {name: 'http_proxy', valueFrom: secret},
      ],
    ],
    [
      'follow the last of two that have one name: the kubelet hands that one over',
      [
        {name: 'HTTP_PROXY', value: 'first'},
        {name: 'HTTP_PROXY', value: 'last'},
      ],
      [
        {name: 'HTTP_PROXY', value: 'first'},
        {name: 'HTTP_PROXY', value: 'last'},
        {name: 'http_proxy', value: 'last'},
      ],
    ],
    [
      'stand together, so that $(PORT) means the same in both',
      [
        {name: 'HTTP_PROXY', value: 'http://own:$(PORT)'},
        {name: 'PORT', value: '8080'},
      ],
      [
        {name: 'HTTP_PROXY', value: 'http://own:$(PORT)'},
        {name: 'http_proxy', value: 'http://own:$(PORT)'},
        {name: 'PORT', value: '8080'},
      ],
    ],
  ])('%s', (_title, before, after) => {
    const one = container(...before);
    setPair(one, 'HTTP_PROXY', 'ours');
    expect(one.env).toEqual(after);
  });
});

describe('one variable', () => {
  test.each<[string, EnvVar[], boolean, EnvVar]>([
    ['is set where its author did not', [], true, {name: 'A', value: 'ours'}],
    ['is ours where it says so already', [{name: 'A', value: 'ours'}], true, {name: 'A', value: 'ours'}],
    ["stays the author's", [{name: 'A', value: 'own'}], false, {name: 'A', value: 'own'}],
    ["stays the author's reference", [{name: 'A', valueFrom: secret}], false, {name: 'A', valueFrom: secret}],
  ])('%s', (_title, before, ours, after) => {
    const one = container(...before);
    expect(setOnce(one, 'A', 'ours')).toBe(ours);
    expect(one.env).toEqual([after]);
  });
});

describe('options are appended', () => {
  test.each<[string, EnvVar[], boolean, string | undefined]>([
    ['to nothing', [], true, '-Da=1 -Db=2'],
    ['to what is there', [{name: 'JAVA_TOOL_OPTIONS', value: '-Xmx1g'}], true, '-Xmx1g -Da=1 -Db=2'],
    ['to an empty value', [{name: 'JAVA_TOOL_OPTIONS', value: ''}], true, '-Da=1 -Db=2'],
    ['not twice', [{name: 'JAVA_TOOL_OPTIONS', value: '-Da=1 -Db=2'}], true, '-Da=1 -Db=2'],
    ["not beside one of them that is the author's", [{name: 'JAVA_TOOL_OPTIONS', value: '-Da=own'}], true, '-Da=own'],
    ['not to a reference', [{name: 'JAVA_TOOL_OPTIONS', valueFrom: secret}], false, undefined],
  ])('%s', (_title, before, done, value) => {
    const one = container(...before);
    expect(appendOptions(one, 'JAVA_TOOL_OPTIONS', ['-Da=1', '-Db=2'])).toBe(done);
    expect(one.env).toHaveLength(1);
    expect(one.env![0]!.value).toBe(value);
  });
});

test.each<[string, unknown, boolean]>([
  ['none', undefined, false],
  ['one that may bring anything', [{configMapRef: {name: 'a'}}], true],
  ['one whose prefix is the beginning of a name', [{prefix: 'HTTP_', secretRef: {name: 'a'}}], true],
  ['one whose prefix is of no name', [{prefix: 'APP_', configMapRef: {name: 'a'}}], false],
])('envFrom: %s', (_title, envFrom, hides) => {
  expect(hidesEnvFrom({name: 'app', envFrom}, ['HTTP_PROXY', 'NO_PROXY'])).toBe(hides);
});
