import {expect, test} from '@jest/globals';
import {noProxy} from './no-proxy.ts';
import {readInstallation, type Installation} from './settings.ts';

const installation = (text: string): Installation => readInstallation('config.yaml', text, new Map()).value!;
const BASE = 'localhost,127.0.0.1,127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,kubernetes,kubernetes.default,.svc';

test.each<[string, string, readonly string[], readonly string[], string]>([
  ['of no cluster facts: what is the same in every cluster', '', [], [], `${BASE},.cluster.local`],
  ['the cluster domain, with dots or without', 'cluster: {domain: .Corp.Local.}', [], [], `${BASE},.corp.local`],
  [
    "the API server by its Service's address too, for those who read no CIDRs; then all ranges in their order",
    'cluster: {apiServers: [api.corp.example], serviceCidrs: [10.96.0.0/12], podCidrs: [10.244.0.0/16], nodeCidrs: [192.168.7.0/24]}',
    [],
    [],
    `${BASE},.cluster.local,api.corp.example,10.96.0.1,10.96.0.0/12,10.244.0.0/16,192.168.7.0/24`,
  ],
  [
    'two families: the Service of the API server has an address of the first',
    "cluster: {serviceCidrs: ['fd00:96::/112', 10.96.0.0/12]}",
    [],
    [],
    `${BASE},.cluster.local,fd00:96::1,fd00:96::/112,10.96.0.0/12`,
  ],
  [
    "an UpstreamProxy's exceptions as suffixes and names; then what was added, each once",
    '',
    ['*.internal.example.com', 'git.example.com', '10.1.2.3'],
    ['git.example.com', '.corp.example'],
    `${BASE},.cluster.local,.internal.example.com,git.example.com,10.1.2.3,.corp.example`,
  ],
  ['everything, where the pod says so', '', [], ['*'], `${BASE},.cluster.local,*`],
])('NO_PROXY is %s', (_title, config, except, further, expected) => {
  expect(noProxy(installation(config), except, further)).toBe(expected);
});
