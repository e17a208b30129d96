/** A pod in, a pod out: all that the webhook and `sallyport inject` do, without a server. */
import {ANNOTATIONS} from '../runtime/names.ts';
import {choose, type Mode, type SkipReason} from './choice.ts';
import {containersOf, type Container, type Namespace, type Pod} from './pod.ts';
import {noProxyEntries, type Installation} from './settings.ts';
import {proxyEnvironment, setProxy} from './proxy.ts';
import {capabilityName, waysToSlip} from './slip.ts';
import {addTrustVolume, hasTrustVolume, setTrust, wantsTrust} from './trust.ts';

export type Injection =
  | {readonly kind: 'skip'; readonly reason: SkipReason}
  /** What is wrong and what to write instead, one sentence each. */
  | {readonly kind: 'refuse'; readonly messages: readonly string[]}
  | {readonly kind: 'inject'; readonly mode: Mode; readonly pod: Pod; readonly warnings: readonly string[]};

/**
 * What becomes of a pod. `pod` itself is not changed. Doing it twice is doing it once: an injector that runs between, such
 * as Istio's, may add containers, and they are treated like the others.
 */
export function inject(pod: Pod, namespace: Namespace, installation: Installation): Injection {
  const choice = choose(pod, namespace, installation);
  if (choice.kind === 'skip') return choice;
  if (choice.kind === 'refuse') return {kind: 'refuse', messages: [choice.message]};
  const {mode} = choice;
  const slips = waysToSlip(pod, mode);
  if (slips.length > 0) return {kind: 'refuse', messages: slips};

  const proxy = mode === 'tproxy' ? null : proxyEnvironment(pod, namespace, installation);
  if (proxy?.kind === 'bad') return {kind: 'refuse', messages: [proxy.message]};

  const out = structuredClone(pod);
  const skipped = skippedContainers(out, installation);
  const touched = containersOf(out).filter(({name}) => !skipped.has(name));
  const warnings: string[] = [];
  for (const container of touched) {
    if (mode === 'tproxy') dropRawSockets(container);
    // In the mesh the sidecar takes the traffic wherever it goes: only a proxy that somebody named is told of.
    if (proxy !== null && (mode === 'proxy-env' || !proxy.value.onNode)) setProxy(container, proxy.value, warnings);
  }
  if (wantsTrust(out)) trust(out, touched, installation, warnings);
  writeStatus(out, mode, touched, warnings);
  return {kind: 'inject', mode, pod: out, warnings};
}

function skippedContainers(pod: Pod, installation: Installation): ReadonlySet<string> {
  return new Set([
    ...installation.skipContainers,
    ...noProxyEntries(pod.metadata.annotations?.[ANNOTATIONS.skipContainers] ?? ''),
  ]);
}

function trust(pod: Pod, touched: readonly Container[], installation: Installation, warnings: string[]): void {
  const ephemeral = new Set(pod.spec.ephemeralContainers ?? []);
  // Where ephemeral containers are added the pod runs already, and its volumes are what they are.
  if (ephemeral.size === 0) addTrustVolume(pod, installation);
  else if (!hasTrustVolume(pod)) return;
  const systemFiles = pod.metadata.annotations?.[ANNOTATIONS.systemTrust] === 'true';
  for (const container of touched)
    setTrust(container, installation, {systemFiles: systemFiles && !ephemeral.has(container)}, warnings);
}

/** Without raw sockets a pod cannot forge a source address, so that the lock is not the only thing that stops it. */
function dropRawSockets(container: Container): void {
  const capabilities = ((container.securityContext ??= {}).capabilities ??= {});
  const dropped = (capabilities.drop ??= []);
  if (!dropped.some((name) => ['ALL', 'NET_RAW'].includes(capabilityName(name)))) dropped.push('NET_RAW');
}

function writeStatus(pod: Pod, mode: Mode, touched: readonly Container[], warnings: readonly string[]): void {
  const status = {mode, containers: touched.map(({name}) => name), ...(warnings.length > 0 ? {warnings} : {})};
  (pod.metadata.annotations ??= {})[ANNOTATIONS.status] = JSON.stringify(status);
}
