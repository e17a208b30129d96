import {expect, test} from '@jest/globals';
import {widerThanOurs, type Rule} from './our-rbac.ts';

const OWN = 'sallyport';
test.each<[string, string, Rule, string | null, string[]]>([
  ['reads pods', 'sallyport-node', {apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch']}, null, []],
  [
    'reads every Secret',
    'sallyport-node',
    {apiGroups: [''], resources: ['secrets'], verbs: ['get']},
    null,
    ['get secrets in every namespace'],
  ],
  [
    'reads the Secret that is named',
    'sallyport-node',
    {apiGroups: [''], resources: ['secrets'], resourceNames: ['partner-proxy'], verbs: ['get']},
    'team',
    [],
  ],
  [
    'everything',
    'sallyport-injector',
    {apiGroups: ['*'], resources: ['*'], verbs: ['*']},
    null,
    ['* *.* in every namespace'],
  ],
  [
    'executes in pods',
    'sallyport-controller',
    {apiGroups: [''], resources: ['pods', 'pods/exec'], verbs: ['create', 'get']},
    'team',
    ['create pods in team', 'create, get pods/exec in team'],
  ],
  [
    'Secrets of our own namespace',
    'sallyport-controller',
    {apiGroups: [''], resources: ['secrets'], verbs: ['create']},
    OWN,
    [],
  ],
  [
    'Secrets of another',
    'sallyport-controller',
    {apiGroups: [''], resources: ['secrets'], verbs: ['create']},
    'team',
    ['create secrets in team'],
  ],
  [
    'an account that is none of ours',
    'debug',
    {apiGroups: [''], resources: ['pods'], verbs: ['get']},
    null,
    ['get pods in every namespace'],
  ],
  ['a path', 'sallyport-node', {nonResourceURLs: ['/metrics'], verbs: ['get']}, null, ['get /metrics']],
])('%s', (_, account, rule, at, wide) => {
  expect(widerThanOurs(account, rule, at, OWN)).toEqual(wide);
});
