/** A pod in, a pod out: all that the webhook and `sallyport inject` do, without a server. */
import {ANNOTATIONS, LABELS} from '../runtime/names.ts';
import {choose, type Mode, type SkipReason} from './choice.ts';
import {hidesEnvFrom} from './environment.ts';
import {latchCapture, ourContainers, placeGuard} from './guard.ts';
import {mtlsOf, mtlsStatus, type MtlsSaid} from './mtls.ts';
import {capturesItself, keepUser} from './pod-capture.ts';
import {containersOf, type Container, type Namespace, type Pod} from './pod.ts';
import {noProxyEntries, type Installation} from './settings.ts';
import {PROXY_VARIABLES, proxyEnvironment, setProxy, type ProxyEnvironment} from './proxy.ts';
import {dropRawSockets} from './raw-sockets.ts';
import {waysToSlip} from './slip.ts';
import {addTrustVolume, hasTrustVolume, setTrust, TRUST_VARIABLES, wantsTrust} from './trust.ts';
import {unknownKeys, wrongWords} from './words.ts';

export type Injection =
  | {readonly kind: 'skip'; readonly reason: SkipReason; readonly warnings: readonly string[]}
  /** What is wrong and what to write instead, one sentence each. */
  | {readonly kind: 'refuse'; readonly messages: readonly string[]}
  | {readonly kind: 'inject'; readonly mode: Mode; readonly pod: Pod; readonly warnings: readonly string[]};

/**
 * What becomes of a pod. `pod` itself is not changed. Doing it twice is doing it once: an injector that runs between, such
 * as Istio's, may add containers, and they are treated like the others.
 * @param running the pod as it runs, where `pod` is it with ephemeral containers added: what it asked for at its start
 *   holds, and its new containers alone can still be changed (Kubernetes API, pods/ephemeralcontainers).
 */
export function inject(
  pod: Pod,
  namespace: Namespace,
  installation: Installation,
  running: Pod | null = null,
): Injection {
  const out = copyOf(running === null ? pod : {...pod, metadata: running.metadata});
  const choice = choose(out, namespace, installation);
  const unknown = unknownKeys(out);
  if (choice.kind === 'skip') return {...choice, warnings: unknown};
  if (choice.kind === 'refuse') return {kind: 'refuse', messages: [choice.message]};
  const {mode} = choice;
  if (mode === 'tproxy' && running === null) latchCapture(out, namespace);
  // What runs already has its word, and keeps it.
  const mtls = running === null ? mtlsOf(out, namespace, mode, installation) : {mode: null, plainPorts: []};
  const wrong = [...wrongWords(out), ...('wrong' in mtls ? mtls.wrong : []), ...waysToSlip(out, mode)];
  if (wrong.length > 0 || 'wrong' in mtls) return {kind: 'refuse', messages: wrong};

  const proxy = mode === 'tproxy' ? null : proxyEnvironment(out, namespace, installation);
  if (proxy?.kind === 'bad') return {kind: 'refuse', messages: [proxy.message]};

  if (mode === 'tproxy' && running === null) {
    const inTheWay = placeGuard(out, installation, mtls);
    if (inTheWay.length > 0) return {kind: 'refuse', messages: inTheWay};
  }
  const changeable =
    running === null
      ? containersOf(out).filter(({name}) => mode !== 'tproxy' || !ourContainers(out).includes(name))
      : newEphemeral(out, running);
  // Not only the touched ones: a container that its author names to be skipped is captured like the others.
  if (mode === 'tproxy') for (const container of changeable) dropRawSockets(container);
  if (mode === 'tproxy' && capturesItself(out)) for (const container of changeable) keepUser(container);
  const skipped = skippedContainers(out, installation);
  const touched = changeable.filter(({name}) => !skipped.has(name));
  const warnings = [...unknown];
  // In the mesh the sidecar takes the traffic wherever it goes: only a proxy that somebody named is told of.
  const told = proxy !== null && (mode === 'proxy-env' || !proxy.value.onNode) ? proxy.value : null;
  if (told !== null) setProxies(touched, told, warnings);
  if (wantsTrust(out)) setTrusts(out, touched, installation, running !== null, warnings);
  if (running === null) {
    // As a label, which a webhook's objectSelector sees whatever becomes of the namespace while the pod runs.
    (out.metadata.labels ??= {})[LABELS.mode] = mode;
    writeStatus(out, mode, mtls, touched, warnings);
  }
  return {kind: 'inject', mode, pod: running === null ? out : {...out, metadata: pod.metadata}, warnings};
}

/** A pod is JSON. Where two of its parts are one object, as YAML's aliases make them, they are two here: only one may be ours to change. */
function copyOf(pod: Pod): Pod {
  return JSON.parse(JSON.stringify(pod)) as Pod;
}

/** Those that run already cannot be changed, and the API server refuses whoever tries. */
function newEphemeral(pod: Pod, running: Pod): Container[] {
  const there = new Set((running.spec.ephemeralContainers ?? []).map(({name}) => name));
  return (pod.spec.ephemeralContainers ?? []).filter(({name}) => !there.has(name));
}

function skippedContainers(pod: Pod, installation: Installation): ReadonlySet<string> {
  return new Set([
    ...installation.skipContainers,
    ...noProxyEntries(pod.metadata.annotations?.[ANNOTATIONS.skipContainers] ?? ''),
  ]);
}

function setProxies(touched: readonly Container[], proxy: ProxyEnvironment, warnings: string[]): void {
  warnings.push(...proxy.warnings);
  for (const container of touched) {
    setProxy(container, proxy, warnings);
    warnOfEnvFrom(container, PROXY_VARIABLES, warnings);
  }
}

function setTrusts(
  pod: Pod,
  touched: readonly Container[],
  installation: Installation,
  runs: boolean,
  warnings: string[],
): void {
  // A pod that runs already has the volumes that it has.
  if (!(runs ? hasTrustVolume(pod, installation) : addTrustVolume(pod, installation))) {
    warnings.push(
      runs
        ? 'the pod runs without the trust volume, so its new containers cannot be made to trust the CA'
        : 'its own volume has the name of the trust volume: it is not made to trust the CA',
    );
    return;
  }
  const systemFiles = !runs && pod.metadata.annotations?.[ANNOTATIONS.systemTrust] === 'true';
  for (const container of touched) {
    setTrust(container, installation, {systemFiles}, warnings);
    warnOfEnvFrom(container, TRUST_VARIABLES, warnings);
  }
}

function warnOfEnvFrom(container: Container, names: readonly string[], warnings: string[]): void {
  if (hidesEnvFrom(container, names))
    warnings.push(
      `container ${container.name}: where its envFrom brings ${names[0]} or the like, what is set here hides it: write it into env to keep it`,
    );
}

function writeStatus(
  pod: Pod,
  mode: Mode,
  mtls: MtlsSaid,
  touched: readonly Container[],
  warnings: readonly string[],
): void {
  const status = {
    ...{mode, ...mtlsStatus(mtls)},
    containers: touched.map(({name}) => name),
    ...(warnings.length > 0 ? {warnings} : {}),
  };
  (pod.metadata.annotations ??= {})[ANNOTATIONS.status] = JSON.stringify(status);
}
