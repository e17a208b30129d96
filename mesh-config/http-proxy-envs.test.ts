import {describe, expect, test} from '@jest/globals';
import {parse} from 'yaml';
import {readInstallation} from '../injector/settings.ts';
import {injectorSettings} from './http-proxy-envs.ts';

const istio = (envs: string, kind = 'Istio'): string =>
  `apiVersion: istio.banzaicloud.io/v1beta1\nkind: ${kind}\nmetadata: {name: mesh}\nspec: {version: "1.31", httpProxyEnvs: ${envs}}\n`;
const FULL =
  '{httpProxy: "http://squid.corp.example:3128", httpsProxy: "http://other.corp.example:3128", noProxy: ".corp.example,10.0.0.0/8"}';

describe('httpProxyEnvs of an Istio resource', () => {
  test.each(['Istio', 'IstioControlPlane'])('of %s is what the injector goes by', (kind) => {
    const config = injectorSettings('istio.yaml', istio(FULL, kind), 'config');
    const {value, findings} = readInstallation('injector.yaml', config, new Map());
    expect(findings).toEqual([]);
    expect(value!.proxy).toEqual({
      proxy: {kind: 'urls', httpProxy: 'http://squid.corp.example:3128', httpsProxy: 'http://other.corp.example:3128'},
      noProxy: ['.corp.example', '10.0.0.0/8'],
    });
  });

  test('as values of our chart it stands under injector', () => {
    expect(parse(injectorSettings('istio.yaml', `kind: Namespace\n---\n${istio(FULL)}`, 'values'))).toEqual({
      injector: {httpProxyEnvs: parse(FULL)},
    });
  });

  test.each([
    ['credentials, which would stand in every pod', istio('{httpProxy: "http://a:b@squid:3128"}'), 'credentials'],
    ['a URL that is none', istio('{httpProxy: "squid:3128"}'), 'httpProxy'],
    ['a word that is none of the three', istio('{proxyHttp: "http://squid:3128"}'), 'proxyHttp'],
    ['no mapping', istio('[a]'), 'httpProxyEnvs'],
    ['no such resource', 'kind: MeshEgress\nspec: {}\n', 'no Istio or IstioControlPlane'],
    ['an Istio without it', 'kind: Istio\nspec: {}\n', 'no Istio or IstioControlPlane'],
    ['two of them', `${istio(FULL)}---\n${istio(FULL)}`, 'two of them'],
    ['no YAML', 'kind: {', 'istio.yaml'],
  ])('%s is refused', (_what, text, says) => {
    expect(() => injectorSettings('istio.yaml', text, 'config')).toThrow(says);
  });
});
