/** A cluster: who is captured on a node, who gets keys, what is said to be enforced, and the proof of it from inside a pod. */
import type {Mutant} from './mutant.ts';

const FACTS = ['cluster/pod-facts.test.ts'];
const TABLE = ['cluster/workloads.test.ts'];
const LAST_GOOD = ['cluster/last-good.test.ts'];
const MEMBERS = ['tproxy/node-members.test.ts'];
const STATE = ['tproxy/node-state.test.ts'];
const NODE_REQUEST = ['cluster/controller/node-request.test.ts'];
const ROTATION = ['cluster/controller/rotation.test.ts'];
const ENFORCED = ['cluster/controller/enforced.test.ts'];
const EXAMINE = ['guard/examine.test.ts'];
const SERIES = ['cluster/events/series.test.ts'];

const LATCHED = 'DESIGN §7: capture is latched for the UID';
const FAIL_CLOSED = 'DESIGN §4: a pod that should be captured gets nothing out';
const OWN_NODE_ONLY = 'DESIGN §6: an intermediate per node, by a request with its own node-bound token';
const KEEPS_OLD_ROOTS = 'DESIGN §6: rotation keeps old and new roots in every bundle';
const NO_CLAIM = 'Issue 6: a policy whose pods are not captured says Enforced=False';
const PROOF = 'Issue 6: the init container proves capture before anything else runs';

export const CLUSTER_MUTANTS: readonly Mutant[] = [
  {
    name: 'pods that have ended keep their addresses',
    guards: 'DESIGN §4: an address that was freed is that of another pod by now',
    file: 'cluster/pod-facts.ts',
    find: "status?.phase === 'Succeeded' || status?.phase === 'Failed') return null;",
    replace: "status?.phase === 'Succeeded') return null;",
    tests: FACTS,
  },
  {
    name: "a pod on its node's network is taken for all of the node",
    guards: 'DESIGN §4: the node is no pod',
    file: 'cluster/pod-facts.ts',
    find: 'if (spec?.hostNetwork === true || ',
    replace: 'if (',
    tests: FACTS,
  },
  {
    name: 'pods of a namespace that is not known yet are not asked what they want',
    guards: FAIL_CLOSED,
    file: 'cluster/pod-facts.ts',
    find: "namespaceLabels ?? {[LABELS.injection]: 'enabled'},",
    replace: 'namespaceLabels ?? {},',
    tests: FACTS,
  },
  {
    name: 'a word that does not exist frees a pod',
    guards: FAIL_CLOSED,
    file: 'cluster/pod-facts.ts',
    find: "const asksForUs = asked.kind === 'wrong' || (",
    replace: 'const asksForUs = (',
    tests: FACTS,
  },
  {
    name: 'a label that is taken off frees a pod that was injected',
    guards: LATCHED,
    file: 'cluster/pod-facts.ts',
    find: "if (asksForUs || pod.injectedForTproxy) return 'asked';",
    replace: "if (asksForUs) return 'asked';",
    tests: FACTS,
  },
  {
    name: 'of two pods with one address the older has it',
    guards: 'DESIGN §4: the end of the one before has not been told yet',
    file: 'cluster/workloads.ts',
    find: 'if (other === undefined || pod.createdAt >= other.createdAt) owner.set(ip, pod);',
    replace: 'if (other === undefined || pod.createdAt <= other.createdAt) owner.set(ip, pod);',
    tests: TABLE,
  },
  {
    name: 'a policy that became bad is gone',
    guards: 'DESIGN §10.7: bad input keeps the last good state',
    file: 'cluster/last-good.ts',
    find: 'good: now.document ?? predecessor',
    replace: 'good: now.document',
    tests: LAST_GOOD,
  },
  {
    name: 'a policy that was made anew has the rules of the one before',
    guards: 'DESIGN §10.7: the last good state of this object, not of another with its name',
    file: 'cluster/last-good.ts',
    find: 'const predecessor = before?.now.uid === now.uid ? before.good : null;',
    replace: 'const predecessor = before?.good ?? null;',
    tests: LAST_GOOD,
  },
  {
    name: 'pods that a policy selects are free unless they ask',
    guards: 'Issue 6: posture selected, whether or not the webhook saw the pod',
    file: 'tproxy/node-members.ts',
    find: "return modesSelecting(policies, workload).size > 0 ? held : 'free';",
    replace: "return modesSelecting(policies, workload).size > 1 ? held : 'free';",
    tests: MEMBERS,
  },
  {
    name: 'a pod that was held is free when it asks no more',
    guards: LATCHED,
    file: 'tproxy/node-members.ts',
    find: "if (guarded === 'asked' || rule.latched(workload.uid)) return held;",
    replace: "if (guarded === 'asked') return held;",
    tests: MEMBERS,
  },
  {
    name: 'the sidecar is believed where everything is locked',
    guards: 'Issue 6: posture all; sidecar pods are held to mesh peers',
    file: 'tproxy/node-members.ts',
    find: "return rule.posture === 'all' ? 'sidecar' : 'free';",
    replace: "return 'free';",
    tests: MEMBERS,
  },
  {
    name: 'a guess about a pod is latched',
    guards: 'DESIGN §7: capture is latched, not what was not known yet',
    file: 'tproxy/node-members.ts',
    find: "if (entry.guarded === 'listed' || namespaceLabels === null) return [];",
    replace: "if (entry.guarded === 'listed') return [];",
    tests: MEMBERS,
  },
  {
    name: 'a restarted agent has forgotten whom it held',
    guards: LATCHED,
    file: 'tproxy/node-state.ts',
    find: '      this.#latched = new Set(memory.latched);\n    } catch',
    replace: '    } catch',
    tests: STATE,
  },
  {
    name: 'whoever may write requests gets a CA',
    guards: OWN_NODE_ONLY,
    file: 'cluster/controller/node-request.ts',
    find: 'if (!agents.has(spec.username))',
    replace: 'if (agents.size === 0)',
    tests: NODE_REQUEST,
  },
  {
    name: 'an agent gets the CA of another node',
    guards: OWN_NODE_ONLY,
    file: 'cluster/controller/node-request.ts',
    find: 'if (read.commonName !== node)',
    replace: "if (read.commonName === '')",
    tests: NODE_REQUEST,
  },
  {
    name: 'a token of no node will do',
    guards: OWN_NODE_ONLY,
    file: 'cluster/controller/node-request.ts',
    find: "if (node === undefined || node === '' || nodes.length > 1)",
    replace: 'if (nodes.length > 1)',
    tests: NODE_REQUEST,
  },
  {
    name: 'a request for other usages is signed',
    guards: OWN_NODE_ONLY,
    file: 'cluster/controller/node-request.ts',
    find: 'if (spec.usages.length !== 1 || spec.usages[0] !== USAGE)',
    replace: 'if (!spec.usages.includes(USAGE))',
    tests: NODE_REQUEST,
  },
  {
    name: 'a new root signs before anybody trusts it',
    guards: KEEPS_OLD_ROOTS,
    file: 'cluster/controller/rotation.ts',
    find: 'return Math.min(publishedAtMs === null ? Infinity : publishedAtMs + publishMs, endOf(signing));',
    replace: 'return Math.min(publishedAtMs === null ? 0 : publishedAtMs + publishMs, endOf(signing));',
    tests: ROTATION,
  },
  {
    name: 'the old root is forgotten at once',
    guards: KEEPS_OLD_ROOTS,
    file: 'cluster/controller/rotation.ts',
    find: 'retired: [...now.retired, {rootPem: rootOf(now.signing), untilMs}],',
    replace: 'retired: now.retired.concat(untilMs < 0 ? [{rootPem: rootOf(now.signing), untilMs}] : []),',
    tests: ROTATION,
  },
  {
    name: 'a successor is in no bundle before it signs',
    guards: KEEPS_OLD_ROOTS,
    file: 'cluster/controller/rotation.ts',
    find: '...(next === null ? [] : [rootOf(next.pair)]), ...retired',
    replace: '...retired',
    tests: ROTATION,
  },
  {
    name: 'what a node said before it went down counts',
    guards: NO_CLAIM,
    file: 'cluster/controller/enforced.ts',
    find: "if (bootId !== null && says.bootId !== bootId) return 'rebooted';",
    replace: "if (bootId === '' && says.bootId !== bootId) return 'rebooted';",
    tests: ENFORCED,
  },
  {
    name: 'a node with an older version of a policy enforces it',
    guards: NO_CLAIM,
    file: 'cluster/controller/enforced.ts',
    find: "return says.policies.get(uid) === generation ? null : 'older';",
    replace: "return says.policies.has(uid) || generation < 0 ? null : 'older';",
    tests: ENFORCED,
  },
  {
    name: 'pods that are only watched are held to a policy that refuses',
    guards: NO_CLAIM,
    file: 'cluster/controller/enforced.ts',
    find: "if (mode === 'Enforce' && !says.locked.has(pod.workload.uid)) return 'notLocked';",
    replace: "if (mode === 'Enforce' && !held) return 'notLocked';",
    tests: ENFORCED,
  },
  {
    name: 'a proof for another pod is one',
    guards: PROOF,
    file: 'guard/examine.ts',
    find: 'if (proof.pod.uid !== podUid)',
    replace: "if (proof.pod.uid === '')",
    tests: EXAMINE,
  },
  {
    name: 'only IPv4 is proved',
    guards: `${PROOF}, IPv4 and IPv6`,
    file: 'guard/examine.ts',
    find: '  for (const family of [4, 6] as const) {',
    replace: '  for (const family of [4] as const) {',
    tests: EXAMINE,
  },
  {
    name: 'UDP that gets no answer is closed',
    guards: 'Issue 6: the init container checks that UDP is closed',
    file: 'guard/examine.ts',
    find: "else if (fate.kind !== 'refused' && fate.kind !== 'kept') return",
    replace: "else if (fate.kind === 'answered') return",
    tests: EXAMINE,
  },
  {
    name: 'a second interface is left alone',
    guards: 'Issue 6: a CNI that bypasses netfilter is found at once',
    file: 'guard/examine.ts',
    find: 'if (second !== null) return {finding: second};',
    replace: 'if (second !== null && addresses.length === 0) return {finding: second};',
    tests: EXAMINE,
  },
  {
    name: 'one pod fills the table of events',
    guards: 'DESIGN §10.8: bounded everything, per workload and in all',
    file: 'cluster/events/series.ts',
    find: ' || (pod?.series ?? 0) >= EVENT_LIMITS.seriesPerPod',
    replace: '',
    tests: SERIES,
  },
];
