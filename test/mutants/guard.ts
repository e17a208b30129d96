/** The proof of capture, who may give it, and pods that capture themselves. */
import type {Mutant} from './mutant.ts';

const RELAY = ['tproxy/relay/proof.test.ts'];
const EXAMINE = ['guard/examine.test.ts'];
const SOCKETS = ['guard/sockets.test.ts'];
const RULES = ['tproxy/capture/pod-ruleset.test.ts'];
const SELF = ['injector/pod-capture.test.ts'];
const PROOF = 'ADR 17: nobody else can give the proof';
const CLOSED = 'ADR 17: closed is tried, not asked';
const EXEMPT = '6: mark and UID exemptions not usable from a pod';

export const GUARD_MUTANTS: readonly Mutant[] = [
  {
    name: 'whoever is not known is given the proof',
    guards: PROOF,
    file: 'tproxy/relay/captured.ts',
    find: "connection.workload !== 'unknown' && services.proof !== undefined",
    replace: 'services.proof !== undefined',
    tests: RELAY,
  },
  {
    name: 'a leaf for the name of the proof is shown anywhere',
    guards: PROOF,
    file: 'tproxy/relay/intercept.ts',
    find: 'if (this.#name === PROOF.name) {',
    replace: "if (this.#name === '') {",
    tests: RELAY,
  },
  {
    name: 'an Envoy is given the key of the name of the proof',
    guards: PROOF,
    file: 'extauthz/sds/outlook.ts',
    find: 'name === null || name === PROOF.name ||',
    replace: 'name === null ||',
    tests: ['extauthz/sds/outlook.test.ts'],
  },
  {
    name: 'whatever is asked for at the address of the proof is the proof',
    guards: '6: no request through the proxy to the proxy',
    file: 'tproxy/relay/proof.ts',
    find: 'head.startsWith(`GET ${PROOF_PATH} HTTP/1.1\\r\\n`)',
    replace: "head.startsWith('')",
    tests: RELAY,
  },
  {
    name: 'a request at the address of the proof may be as long as it likes',
    guards: '8: bounded everything',
    file: 'tproxy/relay/proof.ts',
    find: 'else if (head.length > MAX_REQUEST_BYTES)',
    replace: 'else if (head.length < 0)',
    tests: RELAY,
  },
  {
    name: 'a router that knows no such host is taken for the lock',
    guards: CLOSED,
    file: 'guard/probe.ts',
    find: 'type === 3 && code === 13',
    replace: 'type === 3 && (code === 13 || code === 1)',
    tests: SOCKETS,
  },
  {
    name: 'gateways and the node are not tried',
    guards: CLOSED,
    file: 'guard/examine.ts',
    find: 'for (const {what, to} of [far, ...near])',
    replace: 'for (const {what, to} of [far])',
    tests: EXAMINE,
  },
  {
    name: 'a neighbour that answers is nobody',
    guards: CLOSED,
    file: 'guard/examine.ts',
    find: 'const at = fates.findIndex((fate) => isFromNeighbour(fate));',
    replace: 'const at = fates.findIndex((fate) => isFromNeighbour(fate) && false);',
    tests: EXAMINE,
  },
  {
    name: 'root is let out of a pod that captures itself',
    guards: EXEMPT,
    file: 'tproxy/capture/pod-ruleset.ts',
    find: 'capture.proxyUid < 1',
    replace: 'capture.proxyUid < 0',
    tests: RULES,
  },
  {
    name: 'a pod that captures itself reaches the ports of its proxy',
    guards: '6: admin ports closed to captured pods',
    file: 'tproxy/capture/pod-ruleset.ts',
    find: '[capturedPort, ...closedPorts].join',
    replace: '[capturedPort].join',
    tests: RULES,
  },
  {
    name: 'a container runs as the proxy of its pod',
    guards: EXEMPT,
    file: 'injector/pod-capture.ts',
    find: ': user === POD_PROXY_UID',
    replace: ': user === -1',
    tests: SELF,
  },
  {
    name: 'a container whose user nobody wrote down is let into a pod that captures itself',
    guards: EXEMPT,
    file: 'injector/pod-capture.ts',
    find: '...(user === undefined\n',
    replace: '...(user === null\n',
    tests: SELF,
  },
  {
    name: 'a container becomes another user in a pod that captures itself',
    guards: EXEMPT,
    file: 'injector/pod-capture.ts',
    find: "dropped.push('SETUID');",
    replace: "dropped.push('SETGID');",
    tests: SELF,
  },
  {
    name: 'another container reads the keys of the proxy of its pod',
    guards: '6: no CA key that another pod trusts is ever in an app pod',
    file: 'injector/pod-capture.ts',
    find: 'mount.name === POD_RUN_VOLUME',
    replace: "mount.name === ''",
    tests: SELF,
  },
];
