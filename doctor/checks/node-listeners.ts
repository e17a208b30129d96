/** Our ports: somebody listens at each, on every address family that it is for. */
import {readFileSync} from 'node:fs';
import type {Listen} from '../../runtime/listen.ts';
import {listenText} from '../../runtime/listen.ts';
import {PORTS} from '../../runtime/names.ts';
import type {Check} from '../check.ts';
import {grave, verdictOf, type Problem} from '../outcome.ts';
import type {NodeWorld} from '../node/world.ts';

const MTLS: Listen = {ip: null, port: PORTS.mtls};

/** proc(5), /proc/net/tcp: the state of a listening socket. */
const LISTEN = '0A';

export const nodeListeners: Check<NodeWorld> = {
  name: 'node.listeners',
  looks: 'listening sockets at our ports',
  run: async ({agent}) => {
    const {listen, explicit, admin, mtls} = agent().config;
    const four = listeningPorts('/proc/net/tcp');
    const six = listeningPorts('/proc/net/tcp6');
    const problems: Problem[] = [];
    const wanted: readonly (readonly [string, Listen, string])[] = [
      ['captured', listen, 'captured connections wait and are never answered'],
      ['explicit', explicit, 'programs that are told of the proxy are refused'],
      ['admin', admin, 'probes of the kubelet fail'],
      ...(mtls === null ? [] : [['mTLS', MTLS, 'Strict pods reach nobody, and nobody them'] as const]),
    ];
    for (const [what, where, because] of wanted) {
      // A wildcard socket of IPv6 takes both families, but the captured port has one for each.
      const there = where.ip === null ? four.has(where.port) || six.has(where.port) : has(where, four, six);
      if (!there)
        problems.push(grave(`nobody listens at ${listenText(where)} (${what}): ${because}`, 'Restart the agent.'));
    }
    if (listen.ip === null && !six.has(listen.port) && six.size > 0)
      problems.push(grave(`nobody listens at [::]:${listen.port}: IPv6 is not taken`, 'Restart the agent.'));
    return verdictOf(problems, wanted.map(([what, where]) => `${what} ${listenText(where)}`).join(', '));
  },
};

const has = ({ip, port}: Listen, four: ReadonlySet<number>, six: ReadonlySet<number>): boolean =>
  (ip!.includes(':') ? six : four).has(port);

function listeningPorts(file: string): Set<number> {
  const ports = new Set<number>();
  for (const line of readFileSync(file, 'utf8').split('\n').slice(1)) {
    const [, local = '', , state] = line.trim().split(/\s+/);
    if (state === LISTEN) ports.add(Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16));
  }
  return ports;
}
