/** The flags of `sallyport pod-rules` about mTLS, and what they mean once checked. */
import {canonicalAddress, type Address} from '../../policy/index.ts';
import {SallyportError} from '../../runtime/errors.ts';
import {oneOf, wholeNumber, type FlagTable, type Settings} from '../../runtime/flags.ts';
import {MAX_PLAIN_PORTS, MTLS_MODES, stricter, type MtlsMode} from '../../sources/mtls-words.ts';
import {cidrMode} from './enrolment.ts';
import {cidrOf} from './settings.ts';

export const POD_MTLS_FLAGS = {
  'mtls-mode': {
    kind: 'text',
    value: 'Strict|Permissive|Off',
    help: 'Whether the pod speaks mTLS with others that do (docs/MTLS.md). Default: Off.',
  },
  'mtls-cidr': {kind: 'list', value: 'CIDR=MODE', help: 'The mode instead, where the pod has an address of it.'},
  'mtls-plain-port': {kind: 'list', value: 'PORT', help: 'Inbound ports that are left plain.'},
  'mtls-probe-port': {kind: 'list', value: 'PORT', help: 'Inbound ports where the node may speak plain: its probes.'},
  'node-ip': {kind: 'list', value: 'IP', help: 'status.hostIPs. The default gateways are added.'},
} as const satisfies FlagTable;

export interface PodMtlsRules {
  readonly ips: readonly Address[];
  readonly strict: boolean;
  readonly plainPorts: readonly number[];
  readonly probePorts: readonly number[];
  readonly nodeIps: readonly Address[];
}

/** More containers with probes than a pod has. */
const MAX_PROBE_PORTS = 64;

type At = (name: keyof typeof POD_MTLS_FLAGS) => string;

/** null: it is Off. Throws SallyportError `Usage`. */
export function podMtlsOf(
  settings: Settings<typeof POD_MTLS_FLAGS>,
  at: At,
  podIps: readonly string[],
): PodMtlsRules | null {
  const fallback = oneOf(settings['mtls-mode'] ?? 'Off', MTLS_MODES, at('mtls-mode'));
  const cidrs = settings['mtls-cidr'].map((text) => cidrOf(text, at('mtls-cidr')));
  const ips = podIps.flatMap((text) => canonicalAddress(text) ?? []);
  // Of two addresses with two modes the stricter holds for the pod.
  const mode = ips.map((ip) => cidrMode(cidrs, ip) ?? fallback).reduce<MtlsMode>(stricter, 'Off');
  if (fallback !== 'Off' && ips.length === 0)
    throw new SallyportError(
      'Usage',
      `${at('mtls-mode')} without --pod-ips: what comes in is not known to be for the pod`,
      'Set SALLYPORT_POD_IPS from the downward API.',
    );
  if (mode === 'Off') return null;
  const ports = (name: 'mtls-plain-port' | 'mtls-probe-port', max: number): number[] => {
    const list = [...new Set(settings[name].map((text) => wholeNumber(text, 1, 65_535, at(name))))];
    if (list.length > max) throw new SallyportError('Usage', `${at(name)}: more than ${max} ports`, 'Write fewer.');
    return list;
  };
  return {
    ips,
    strict: mode === 'Strict',
    plainPorts: ports('mtls-plain-port', MAX_PLAIN_PORTS),
    probePorts: ports('mtls-probe-port', MAX_PROBE_PORTS),
    nodeIps: settings['node-ip'].flatMap((text) => canonicalAddress(text) ?? []),
  };
}
