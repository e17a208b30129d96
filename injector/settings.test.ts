import {describe, expect, test} from '@jest/globals';
import {formatFinding} from '../policy/index.ts';
import {readInstallation} from './settings.ts';

const findings = (text: string): string[] =>
  readInstallation('config.yaml', text, new Map()).findings.map(formatFinding);

describe('a configuration that is wrong says where, and what to write', () => {
  test.each([
    [
      'an unknown field',
      'defaultMod: tproxy',
      /config\.yaml:1:1: .*unknown field "defaultMod".*Did you mean defaultMode/,
    ],
    ['a mode that does not exist', 'defaultMode: sidecar', /config\.yaml:1:14: .*none of tproxy, proxy-env, mesh/],
    ['a range that is none', 'cluster:\n  podCidrs: [10.0.0.0/8, pods]', /config\.yaml:2:26: .*"pods" is no CIDR/],
    ['a proxy without scheme', 'httpProxyEnvs: {httpProxy: "squid:3128"}', /config\.yaml:1:28: .*not squid:/],
    [
      'credentials in a URL',
      'httpProxyEnvs: {httpProxy: "http://u:p@squid:3128"}',
      /credentials would stand in every pod/,
    ],
    ['two proxies at once', 'httpProxyEnvs: {httpProxy: "http://a:1", upstreamProxy: corp}', /Keep one of the two/],
    [
      "a namespace's proxy, with its place",
      'namespaces:\n  a:\n    httpProxyEnvs: {httpsProxy: "ftp://a"}',
      /config\.yaml:3:33: .*not ftp:/,
    ],
    ['a relative mount path', 'trust: {mountPath: trust}', /config\.yaml:1:20: .*no absolute path/],
    ['two documents', 'namespace: a\n---\nnamespace: b', /second document/],
    ['a list', '- a', /no mapping/],
  ])('%s', (_title, text, message) => {
    expect(findings(text).join('\n')).toMatch(message);
  });
});

test('the secret of a URL does not get into the message', () => {
  expect(findings('httpProxyEnvs: {httpProxy: "http://u:hunter2@squid:3128"}').join()).not.toContain('hunter2');
});

test('an empty file is the defaults', () => {
  const {value, findings: none} = readInstallation('config.yaml', '', new Map());
  expect(none).toEqual([]);
  expect(value).toMatchObject({namespace: 'sallyport', defaultMode: 'proxy-env', proxy: {proxy: null, noProxy: []}});
});
