/** Mutants of the wire between pods (docs/MTLS.md): each lets something through in plain, or somebody who is another. */
import type {Mutant} from './mutant.ts';

/** A second each: the same is also in the lab, with three nodes, where each would take half a minute. */
const PAIR = ['tproxy/mtls/wire/pair.test.ts'];
const LIVING = ['tproxy/mtls/wire/wire.test.ts'];
const TABLE = ['tproxy/mtls/capture/node-table.test.ts'];
const DIAL = ['tproxy/mtls/capture/dial.lab.test.ts'];

export const MTLS_WIRE_MUTANTS: readonly Mutant[] = [
  {
    name: 'whoever has a certificate of our CA is taken for whose address he uses',
    guards: 'MTLS: the peer is verified against what the workload table says of its address',
    file: 'tproxy/mtls/wire/inbound.ts',
    find: 'const wrong = wrongPeer(tls, identity, peer.spiffeId);',
    replace: 'const wrong = null as string | null;',
    tests: PAIR,
  },
  {
    name: 'a client speaks to a server that is somebody else',
    guards: 'MTLS: the server is verified before a byte is said',
    file: 'tproxy/mtls/wire/outbound.ts',
    find: 'const wrong = wrongPeer(tls, identity, peer.spiffeId);',
    replace: 'const wrong = null as string | null;',
    tests: PAIR,
  },
  {
    name: 'Strict takes plain of an address that is not enrolled',
    guards: 'MTLS: Strict refuses plain',
    file: 'tproxy/mtls/wire/inbound.ts',
    find: "if (own.mode === 'Permissive') plain(carried, null);",
    replace: "if (own.mode !== 'Off') plain(carried, null);",
    tests: PAIR,
  },
  {
    name: 'Strict takes plain of an enrolled address',
    guards: 'MTLS: Strict refuses plain',
    file: 'tproxy/mtls/wire/inbound.ts',
    find: "if (own.mode === 'Permissive') plain(carried, first);",
    replace: "if (own.mode !== 'Off') plain(carried, first);",
    tests: PAIR,
  },
  {
    name: 'a Strict pod without a certificate speaks plain',
    guards: 'MTLS: Strict fails closed',
    file: 'tproxy/mtls/wire/outbound.ts',
    find: "if (own.mode === 'Permissive' && peer.mode === 'Permissive') plain();",
    replace: "if (own.mode !== 'Off') plain();",
    tests: PAIR,
  },
  {
    name: 'while the listener is away a Strict pod is reached in plain',
    guards: 'MTLS: Strict fails closed',
    file: 'tproxy/mtls/capture/node-table.ts',
    find: 'counter name mtls_away drop`',
    replace: 'counter name mtls_away accept`',
    tests: TABLE,
  },
  {
    name: 'datagrams reach a Strict pod',
    guards: 'MTLS: UDP is refused where one of both is Strict (ADR 22)',
    file: 'tproxy/mtls/capture/node-table.ts',
    find: 'counter name mtls_refused_other reject with icmpx admin-prohibited',
    replace: 'counter name mtls_refused_other accept',
    tests: TABLE,
  },
  {
    name: 'what a pod had open before it was Strict goes on in plain',
    guards: 'MTLS: a change of mode reaches what lives',
    file: 'tproxy/mtls/capture/node-table.ts',
    find: "'ct direction reply goto replies',",
    replace: "'ct direction reply accept',",
    tests: TABLE,
  },
  {
    name: 'a pod beside it is taken for the pod whose address it uses',
    guards: 'MTLS: who a pod is, says where it is plugged in',
    file: 'tproxy/mtls/capture/node-table.ts',
    find: 'counter name mtls_spoofed drop`',
    replace: 'counter name mtls_spoofed accept`',
    tests: TABLE,
  },
  {
    name: 'what was plain stays so when the pod becomes Strict',
    guards: 'MTLS: a change of mode reaches what lives',
    file: 'tproxy/mtls/wire/wire.ts',
    find: 'if (carried.isOutdated()) carried.destroy();',
    replace: 'if (carried.isOutdated()) continue;',
    tests: LIVING,
  },
  {
    name: 'the program sees another port than its peer has',
    guards: 'MTLS: the source address and port are kept',
    file: 'tproxy/mtls/capture/dial.ts',
    find: 'bind(fd, sockaddr(ip, port));',
    replace: 'bind(fd, sockaddr(ip, 0));',
    tests: DIAL,
  },
  {
    name: 'whoever is on the wire ends a stream in the middle',
    guards: 'MTLS: the end of a stream is said inside of TLS',
    file: 'tproxy/mtls/wire/ending.ts',
    find: "return ended ? false : broken('the connection ended before its stream did');",
    replace: 'return push(null);',
    tests: PAIR,
  },
  {
    name: 'the word of the end is said by one side alone',
    guards: 'MTLS: the end of a stream is said inside of TLS',
    file: 'tproxy/mtls/wire/inbound.ts',
    find: "    sealEnds(tls, 'server');\n",
    replace: '',
    tests: PAIR,
  },
  {
    name: 'a reset looks like the end of a stream',
    guards: 'MTLS: RST is propagated',
    file: 'tproxy/mtls/wire/joint.ts',
    find: '  if (!raw.destroyed) raw.resetAndDestroy();',
    replace: '  if (!raw.destroyed) raw.end();',
    tests: LIVING,
  },
  {
    name: 'what a policy let a held pod dial crosses the wire in plain',
    guards: 'MTLS: what the relay dials is wrapped',
    file: 'tproxy/mtls/wire/dialled.ts',
    find: 'if (own === null || peer === null ||',
    replace: 'if (own !== null || peer === null ||',
    tests: PAIR,
  },
];
