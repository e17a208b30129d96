/** The guard's proof of capture is the dataplane's alone: to Envoy its name and its addresses are destinations like any. */
import {expect, test} from '@jest/globals';
import {PROOF} from '../runtime/names.ts';
import {envoyBefore, letsThrough, SITE, type Question} from './testing/asking.ts';

const WEB = `
  - {name: web, to: {hosts: [${SITE}], schemes: [http, https]}, http: {paths: ["/**"]}}
`;

test.each<[string, Question]>([
  ['its name over HTTP', {host: PROOF.name, path: '/proof'}],
  ['its name inside TLS', {host: PROOF.name, sni: PROOF.name, port: 443, ip: PROOF.ip4, path: '/proof'}],
  ['its address', {host: PROOF.ip4, ip: PROOF.ip4, path: '/proof'}],
  ['its IPv6 address, unread', {network: true, ip: PROOF.ip6, port: 443}],
])('%s is refused, and nothing is told of the pod', (_title, asked) => {
  const answered = envoyBefore({policy: WEB}).ask(asked);
  expect(letsThrough(answered)).toBe(false);
  const {httpResponse} = answered.response;
  const body = httpResponse.case === 'deniedResponse' ? httpResponse.value.body : '';
  expect(body).not.toMatch(/"hold"/);
});
