import {describe, expect, test} from '@jest/globals';
import {failureOf, isCodecs} from './failure.ts';

const line = (more: object) => ({
  flags: '-',
  details: 'via_upstream',
  transport: null,
  decision: {verdict: 'allow'},
  ...more,
});

describe('what befell an allowed request, by the access log', () => {
  test.each([
    [
      'a certificate that does not verify',
      {flags: 'UF', transport: 'TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED'},
      'UpstreamUntrusted',
    ],
    ['nobody listens', {flags: 'UF', transport: 'delayed_connect_error:_Connection_refused'}, 'UpstreamUnreachable'],
    ['no healthy parent', {flags: 'UH'}, 'UpstreamUnreachable'],
    ['an error of the server itself', {flags: '-'}, null],
    ['a refusal', {flags: 'UAEX'}, null],
  ])('%s', (_, more, expected) => expect(failureOf(line(more))).toBe(expected));
});

describe('what the codec refused', () => {
  test.each([
    ['two lengths', {decision: null, flags: 'DPE', details: 'http1.codec_error'}, true],
    ['no Host', {decision: null, details: 'missing_host_header'}, true],
    ['a denial is a decision', {flags: 'UAEX', details: 'ext_authz_denied'}, false],
    [
      'ext_authz that does not answer is none of the codec',
      {decision: null, flags: 'UAEX', details: 'ext_authz_error'},
      false,
    ],
  ])('%s', (_, more, expected) => expect(isCodecs(line(more))).toBe(expected));
});
