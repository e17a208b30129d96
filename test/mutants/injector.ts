/** The admission webhook: who is guarded, what a guarded pod may not have, and what it is told. */
import type {Mutant} from './mutant.ts';

const CHOICE = ['injector/choice.test.ts'];
const REVIEW = ['injector/review.test.ts'];
const ADMISSION = ['injector/admission.test.ts'];
const LATCH = ['injector/latch.test.ts'];
const SLIP = ['injector/slip.test.ts'];
const GUARD = ['injector/guard.test.ts'];
const RAW = ['injector/raw-sockets.test.ts'];
const PROPERTY = ['injector/inject.property.test.ts'];
const SERVER = ['injector/server.test.ts'];
/** With the webhooks as the chart has them, on a real API server. */
const CHART = ['injector/injector.cluster.test.ts'];
const TRUST = ['injector/trust.test.ts'];
const PROXY = ['injector/proxy.test.ts', 'injector/environment.test.ts'];

const CANNOT_SLIP = 'Issue 6: what could slip its guard is refused';
const AUTHOR_WINS = 'Issue 6: a value that the author set wins, and its twin gets the same';
const FAIL_CLOSED = 'DESIGN §10.7: what cannot be told is refused';
const NO_STEERING = 'DESIGN §10.6: the workload cannot steer its guard';

export const INJECTOR_MUTANTS: readonly Mutant[] = [
  {
    name: 'a mode that does not exist is the default',
    guards: FAIL_CLOSED,
    file: 'injector/choice.ts',
    find: "return {kind: 'refuse', message: wrongWord(asked.said.key, asked.said.value, asked.words)};",
    replace: "return {kind: 'inject', mode: installation.defaultMode};",
    tests: CHOICE,
  },
  {
    name: 'annotations count in every namespace',
    guards: 'Issue 6: the annotation form only in namespaces labelled for it',
    file: 'cluster/asked-mode.ts',
    find: "return namespaceLabels[LABELS.injection] === 'enabled';",
    replace: "return namespaceLabels[LABELS.injection] !== 'disabled';",
    tests: CHOICE,
  },
  {
    name: "a namespace's word is before its pod's",
    guards: 'Issue 6: pod overrides namespace',
    file: 'cluster/asked-mode.ts',
    find: 'labels[key] ?? (counts ? (annotations[key] ?? namespaceLabels[key]) : undefined)',
    replace: '(counts ? (namespaceLabels[key] ?? annotations[key]) : undefined) ?? labels[key]',
    tests: CHOICE,
  },
  {
    name: 'whoever calls himself a mirror pod is not looked at',
    guards: NO_STEERING,
    file: 'injector/review.ts',
    find: 'if (mirror && Array.isArray(groups) && groups.includes(NODES))',
    replace: 'if (mirror)',
    tests: REVIEW,
  },
  {
    name: 'reviews of other versions are read',
    guards: FAIL_CLOSED,
    file: 'injector/review.ts',
    find: "fieldOf(review, 'apiVersion') !== 'admission.k8s.io/v1' ||",
    replace: '',
    tests: REVIEW,
  },
  {
    name: 'a running pod may leave its guard',
    guards: 'DESIGN §7: capture is latched for the UID; what a pod is given later is judged by what it asked for',
    file: 'injector/latch.ts',
    find: 'if (after !== before)',
    replace: 'if (after !== null && after !== before)',
    tests: LATCH,
  },
  {
    name: 'a running pod may change where it is captured',
    guards: 'DESIGN §7: capture is latched for the UID',
    file: 'injector/latch.ts',
    find: 'return capture(running) === capture(changed)',
    replace: 'return capture(running) !== capture(changed) || true',
    tests: LATCH,
  },
  {
    name: 'changes of running pods are not looked at',
    guards: 'DESIGN §7: capture is latched for the UID',
    file: 'injector/admission.ts',
    find: 'return ways.length > 0 ? refusal(uid, ways) : {uid, allowed: true};',
    replace: 'return {uid, allowed: true};',
    tests: ADMISSION,
  },
  {
    name: 'an ephemeral container is judged by the labels that are sent along with it',
    guards: NO_STEERING,
    file: 'injector/inject.ts',
    find: 'const out = copyOf(running === null ? pod : {...pod, metadata: running.metadata});',
    replace: 'const out = copyOf(pod);',
    tests: ADMISSION,
  },
  {
    name: 'ephemeral containers that run are changed',
    guards: 'Kubernetes API, pods/ephemeralcontainers: the request fails then, and nobody can debug the pod',
    file: 'injector/inject.ts',
    find: '.filter(({name}) => !there.has(name));',
    replace: '.filter(({name}) => !there.has(name) || true);',
    tests: ADMISSION,
  },
  {
    name: 'what another webhook gave back stays',
    guards: 'Issue 6: drops NET_RAW from every container, whoever added it',
    file: 'injector/admission.ts',
    find: '.filter((container) => hasRawSockets(container) && keep.has(container.name))',
    replace: '.filter((container) => hasRawSockets(container) && !keep.has(container.name))',
    tests: ADMISSION,
  },
  {
    name: 'a container that is named to be skipped keeps its raw sockets',
    guards: NO_STEERING,
    file: 'injector/inject.ts',
    find: 'for (const container of changeable) dropRawSockets(container);',
    replace:
      'for (const container of changeable) if (!skippedContainers(out, installation).has(container.name)) dropRawSockets(container);',
    tests: PROPERTY,
  },
  {
    name: 'whoever has a name of ours keeps his raw sockets',
    guards: NO_STEERING,
    file: 'injector/inject.ts',
    find: "mode !== 'tproxy' || !ourContainers(out).includes(name)",
    replace: "mode !== 'tproxy' || !name.startsWith('sallyport-')",
    tests: ADMISSION,
  },
  {
    name: 'CAP_NET_RAW counts as dropped',
    guards: 'Issue 6: drops NET_RAW from every container; containerd looks for CAP_CAP_NET_RAW',
    file: 'injector/raw-sockets.ts',
    find: "&& !dropped.includes('NET_RAW')",
    replace: "&& !dropped.some((name) => name.endsWith('NET_RAW'))",
    tests: RAW,
  },
  {
    name: 'capabilities are compared as they are written',
    guards: CANNOT_SLIP,
    file: 'injector/slip.ts',
    find: "return upper.startsWith('CAP_') ? upper.slice(4) : upper;",
    replace: 'return upper.length === 0 ? upper : written;',
    tests: SLIP,
  },
  {
    name: 'only the first capability is looked at',
    guards: CANNOT_SLIP,
    file: 'injector/slip.ts',
    find: '    .map(capabilityName)',
    replace: '    .slice(0, 1)\n    .map(capabilityName)',
    tests: SLIP,
  },
  {
    name: 'a captured pod may be privileged',
    guards: CANNOT_SLIP,
    file: 'injector/slip.ts',
    find: '...(privileged === true',
    replace: '...(privileged !== undefined && false',
    tests: SLIP,
  },
  {
    name: "a captured pod may be on the node's network",
    guards: CANNOT_SLIP,
    file: 'injector/slip-host.ts',
    find: '...(spec.hostNetwork === true',
    replace: "...(spec.hostNetwork === true && spec['hostPID'] === true",
    tests: SLIP,
  },
  {
    name: "a container that is called as Istio's may be privileged",
    guards: CANNOT_SLIP,
    file: 'injector/slip.ts',
    find: '? privileges(one, ISTIO_NEEDS)',
    replace: '? []',
    tests: SLIP,
  },
  {
    name: "Istio's user may be a group",
    guards: 'Issue 6: for mode: mesh UID 1337 is refused, and so is its group',
    file: 'injector/slip-mesh.ts',
    find: "of('runAsUser') === ISTIO_UID || of('runAsGroup') === ISTIO_UID",
    replace: "of('runAsUser') === ISTIO_UID",
    tests: SLIP,
  },
  {
    name: 'ports may be excluded from the mesh',
    guards: 'Issue 6: for mode: mesh traffic.sidecar.istio.io/exclude* is refused',
    file: 'injector/slip-mesh.ts',
    find: "  [`${PREFIX}excludeOutboundPorts`]: [''],\n",
    replace: "  [`${PREFIX}excludeOutboundPorts`]: ['', '443'],\n",
    tests: SLIP,
  },
  {
    name: 'a guard that was changed is taken for ours',
    guards: 'Issue 6: the init container proves capture before anything else runs',
    file: 'injector/placed.ts',
    find: '      return differs.length === 0\n',
    replace: '      return differs.length < 10\n',
    tests: GUARD,
  },
  {
    name: 'the guard runs somewhere among the others',
    guards: 'Issue 6: the init container proves capture before anything else runs',
    file: 'injector/placed.ts',
    find: '    ...containers.map((wanted, i) => found[i] ?? wanted),\n    ...inits.filter(({name}) => !names.includes(name)),\n',
    replace:
      '    ...inits.filter(({name}) => !names.includes(name)),\n    ...containers.map((wanted, i) => found[i] ?? wanted),\n',
    tests: GUARD,
  },
  {
    name: "an author's value is replaced",
    guards: AUTHOR_WINS,
    file: 'injector/environment.ts',
    find: 'if (!completePair(container, name)) {',
    replace: 'if (completePair(container, name) || true) {',
    tests: PROXY,
  },
  {
    name: "a twin says something else than its author's",
    guards: AUTHOR_WINS,
    file: 'injector/environment.ts',
    find: 'env.splice(authors + 1, 0, {...structuredClone(env[authors]!), name: spellings[missing]!});',
    replace: "env.splice(authors + 1, 0, {name: spellings[missing]!, value: ''});",
    tests: PROXY,
  },
  {
    name: 'credentials of a proxy are put into pods',
    guards: 'DESIGN §10.9: secrets never appear where others read',
    file: 'injector/settings.ts',
    find: "if (url.username !== '' || url.password !== '')",
    replace: "if (url.username !== '' && url.password === '')",
    tests: [...PROXY, 'injector/settings.test.ts'],
  },
  {
    name: "an author's credentials are printed by his JVM",
    guards: 'DESIGN §10.9: secrets never appear where others read',
    file: 'injector/proxy.ts',
    find: "const hostPort = authority.slice(authority.lastIndexOf('@') + 1);",
    replace: 'const hostPort = authority;',
    tests: PROXY,
  },
  {
    name: 'variables name certificates that are not mounted',
    guards: 'Issue 6: the bundle is mounted where it does no harm',
    file: 'injector/trust.ts',
    find: 'readOnly: true}, warnings)) return;',
    replace: 'readOnly: true}, warnings)) warnings.push(at);',
    tests: TRUST,
  },
  {
    name: 'what replaces the public roots gets our CA alone',
    guards: 'Issue 6: replacing variables get the merged bundle',
    file: 'injector/trust.ts',
    find: '!setOnce(container, variable, `${at}/${TRUST_KEYS.bundle}`)',
    replace: '!setOnce(container, variable, `${at}/${TRUST_KEYS.ca}`)',
    tests: TRUST,
  },
  {
    name: 'the mode of a pod is not written down',
    guards: 'Issue 6: what a webhook can see are labels; the namespace may change its mind while the pod runs',
    file: 'injector/inject.ts',
    find: '(out.metadata.labels ??= {})[LABELS.mode] = mode;',
    replace: 'out.metadata.labels ??= {};',
    tests: ADMISSION,
  },
  {
    name: 'the patch of a patched pod is not empty',
    guards: 'Issue 6: idempotent, in either order with other injectors',
    file: 'injector/environment.ts',
    find: 'if (!words.some((word) => present.includes(optionOf(word))))',
    replace: 'if (!words.every((word) => present.includes(optionOf(word))) || words.length > 1)',
    tests: PROPERTY,
  },
  {
    name: 'pods of a namespace that nobody knows are let through',
    guards: FAIL_CLOSED,
    file: 'injector/server.ts',
    find: 'if (namespace === null) return failed(',
    replace:
      "namespace ??= {name: request.namespace, labels: {}, annotations: {}};\n  if (request.namespace === '') return failed(",
    tests: SERVER,
  },
  {
    name: 'an error of ours lets the pod through',
    guards: FAIL_CLOSED,
    file: 'injector/server.ts',
    find: 'response: {uid: request.uid, allowed: false, status: {code: 500, message: `sallyport: ${message}`}},',
    replace: 'response: {uid: request.uid, allowed: true, status: {code: 500, message: `sallyport: ${message}`}},',
    tests: SERVER,
  },
  {
    name: 'a review may take as long as it likes',
    guards: 'DESIGN §10.8: bounded everything',
    file: 'injector/server.ts',
    find: '  app.server.headersTimeout = limits.requestTimeoutMs;\n',
    replace: '',
    tests: SERVER,
  },
  {
    name: 'labels of running pods are not looked at in a cluster',
    guards: 'DESIGN §7: capture is latched for the UID',
    file: 'charts/sallyport/templates/injector/_webhook.tpl',
    find: '  - {operations: [UPDATE], apiGroups: [""], apiVersions: [v1], resources: [pods], scope: Namespaced}\n',
    replace: '',
    tests: CHART,
  },
  {
    name: 'pods that ask by their namespace are not asked about again',
    guards: 'Issue 6: works with other injectors in either order (reinvocationPolicy: IfNeeded)',
    file: 'charts/sallyport/templates/injector/_webhook.tpl',
    find: '(dict "name" "mode" "namespace" list',
    replace: '(dict "name" "mode" "namespace" (list (dict "key" "sallyport.dev/injection" "operator" "DoesNotExist"))',
    tests: CHART,
  },
  {
    name: 'ephemeral containers are not looked at in a cluster',
    guards: 'Issue 6: what could slip its guard is refused, also for pods/ephemeralcontainers',
    file: 'charts/sallyport/templates/injector/_webhook.tpl',
    find: 'resources: [pods/ephemeralcontainers]',
    replace: 'resources: [pods/eviction]',
    tests: CHART,
  },
];
