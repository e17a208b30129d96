/**
 * Nodes of a cluster for tests of mTLS: each a lab with a pod, all on one wire.
 *
 *   pod a -- node a --+
 *   pod b -- node b --+-- the wire (a bridge in a namespace of its own, where packets are recorded)
 *   pod c -- node c --+
 */
import type {ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {createLab, type Lab} from '../index.ts';

export const NODES = ['a', 'b', 'c'] as const;
export type NodeName = (typeof NODES)[number];

export interface MtlsLabs {
  /** Each with one pod, called `app`. */
  readonly labs: Readonly<Record<NodeName, Lab>>;
  /** Records the wire until what it resolves with is asked for the packets, as one text (latin1). */
  record(): Promise<() => Promise<string>>;
  close(): Promise<void>;
}

const numberOf = (node: NodeName): number => NODES.indexOf(node) + 1;
export const podIps = (node: NodeName): [string, string] => [
  `10.77.${numberOf(node)}.10`,
  `fd77:0:0:${numberOf(node)}::10`,
];
export const nodeIps = (node: NodeName): [string, string] => [`10.80.0.${numberOf(node)}`, `fd80::${numberOf(node)}`];

export const spiffeIdOf = (serviceAccount: string): string => `spiffe://cluster.local/ns/shop/sa/${serviceAccount}`;

export async function createMtlsLabs(): Promise<MtlsLabs> {
  const made: Lab[] = [];
  const close = async (): Promise<void> => {
    for (const lab of made) await lab.close();
  };
  try {
    const wire = await createLab({name: 'mtlsw', pods: []});
    made.push(wire);
    await ip(wire, wire.node.name, ['link add name br0 type bridge', 'link set dev br0 up']);
    const labs = {} as Record<NodeName, Lab>;
    for (const name of NODES) {
      const lab = await createLab({
        name: `mtls${name}`,
        pods: [{name: 'app', ips: podIps(name)}],
        nodeIps: [`10.78.0.${numberOf(name)}`, `fd78::${numberOf(name)}`],
      });
      made.push(lab);
      await plugIn(wire, lab, name);
      labs[name] = lab;
    }
    return {labs, record: () => record(wire), close};
  } catch (cause) {
    await close();
    throw cause;
  }
}

async function plugIn(wire: Lab, lab: Lab, name: NodeName): Promise<void> {
  await ip(wire, wire.node.name, [
    `link add dev ${name} type veth peer name link netns ${lab.node.name}`,
    `link set dev ${name} master br0 up`,
  ]);
  const [ip4, ip6] = nodeIps(name);
  await ip(lab, lab.node.name, [
    `addr add ${ip4}/24 dev link`,
    `addr add ${ip6}/64 dev link nodad`,
    'link set dev link up',
    ...NODES.filter((other) => other !== name).flatMap((other) => [
      `route add ${podIps(other)[0]}/32 via ${nodeIps(other)[0]}`,
      `-6 route add ${podIps(other)[1]}/128 via ${nodeIps(other)[1]}`,
    ]),
  ]);
}

async function ip(lab: Lab, namespace: string, lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    const {status, stderr} = await lab.exec({name: namespace, path: ''}, ['ip', ...line.split(' ')]);
    if (status !== 0) throw new Error(`ip ${line}: ${stderr}`);
  }
}

/** tcpdump on the bridge: everything between nodes crosses it. */
const record = (wire: Lab): Promise<() => Promise<string>> => recordIn(wire, 'node', 'br0');

/** Records an interface until what it resolves with is asked for the packets, as one text (latin1). */
export async function recordIn(lab: Lab, where: string, name: string): Promise<() => Promise<string>> {
  const argv = ['tcpdump', '--immediate-mode', '-U', '-s', '0', '-i', name, '-w', '-'];
  const child: ChildProcess = lab.spawn(where, argv);
  const chunks: Buffer[] = [];
  child.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve, reject) => {
    let text = '';
    child.once('exit', (code) => reject(new Error(`tcpdump ended with ${code}: ${text}`)));
    child.stderr!.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('listening on')) resolve();
    });
  });
  return async () => {
    const ended = once(child.stdout!, 'end');
    child.kill('SIGINT');
    await ended;
    return Buffer.concat(chunks).toString('latin1');
  };
}
