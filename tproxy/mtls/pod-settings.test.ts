import {describe, expect, test} from '@jest/globals';
import {parseFlags} from '../../runtime/flags.ts';
import {POD_MTLS_FLAGS, podMtlsOf, type PodMtlsRules} from './pod-settings.ts';

const IPS = ['10.244.1.7', 'fd00::7'];
function read(argv: readonly string[], ips: readonly string[] = IPS): PodMtlsRules | null {
  const {settings, origin} = parseFlags('pod-rules', POD_MTLS_FLAGS, {argv, env: {}});
  return podMtlsOf(settings, origin, ips);
}

describe('how a pod speaks mTLS', () => {
  test.each([
    {argv: [], strict: null},
    {argv: ['--mtls-mode', 'Off'], strict: null},
    {argv: ['--mtls-mode', 'Permissive'], strict: false},
    {argv: ['--mtls-mode', 'Strict'], strict: true},
    {argv: ['--mtls-cidr', '10.244.0.0/16=Strict'], strict: true},
    {argv: ['--mtls-cidr', '10.244.0.0/16=Strict,10.244.1.0/24=Permissive'], strict: false},
    // One of its addresses is: the pod is one.
    {argv: ['--mtls-mode', 'Permissive', '--mtls-cidr', 'fd00::/8=Strict'], strict: true},
    {argv: ['--mtls-cidr', '10.9.0.0/16=Strict'], strict: null},
  ])('$argv: Strict is $strict', ({argv, strict}) => expect(read(argv)?.strict ?? null).toBe(strict));

  test('ports are those that were named, each once', () => {
    const argv = ['--mtls-mode', 'Strict', '--mtls-plain-port', '9090,9090', '--mtls-probe-port', '8080,8081'];
    expect(read([...argv, '--node-ip', '10.0.0.1'])).toEqual({
      ...{ips: IPS, strict: true, plainPorts: [9090], probePorts: [8080, 8081], nodeIps: ['10.0.0.1']},
    });
  });

  test.each([
    {argv: ['--mtls-mode', 'strict'], says: '--mtls-mode is "strict"'},
    {argv: ['--mtls-mode', 'Strict', '--mtls-plain-port', '0'], says: '--mtls-plain-port'},
    {
      argv: ['--mtls-mode', 'Strict', '--mtls-plain-port', Array.from({length: 17}, (_, i) => i + 1).join(',')],
      says: 'more than 16',
    },
    {argv: ['--mtls-cidr', '10.0.0.0/8'], says: 'no CIDR=MODE'},
  ])('$argv is refused: $says', ({argv, says}) => expect(() => read(argv)).toThrow(says));

  test('without its addresses it is refused, and not left plain', () => {
    expect(() => read(['--mtls-mode', 'Strict'], [])).toThrow('--pod-ips');
  });
});
