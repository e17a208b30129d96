/** Settings of the kernel under which captured packets arrive, and leave again. */
import type {Check} from '../check.ts';
import {grave, verdictOf, type Problem} from '../outcome.ts';
import type {NodeWorld} from '../node/world.ts';

const V4 = 'net.ipv4.ip_forward';
const V6 = 'net.ipv6.conf.all.forwarding';
const VALID_MARK = 'net.ipv4.conf.all.src_valid_mark';
const BRIDGE_NETFILTER = ['net.bridge.bridge-nf-call-iptables', 'net.bridge.bridge-nf-call-ip6tables'];

export const nodeKernel: Check<NodeWorld> = {
  name: 'node.kernel',
  looks: 'sysctls that forwarding and TPROXY depend on',
  run: async ({commands, agent, capture}) => {
    const read = async (name: string): Promise<string | null> => {
      const shown = await commands.run(['cat', `/proc/sys/${name.replaceAll('.', '/')}`]);
      return shown.status === 0 ? shown.stdout.trim() : null;
    };
    const problems: Problem[] = [];
    const {members, bridges} = await capture();
    for (const [name, ofFamily] of [
      [V4, (ip: string) => !ip.includes(':')],
      [V6, (ip: string) => ip.includes(':')],
    ] as const)
      if (members.some(({ip}) => ofFamily(ip)) && (await read(name)) === '0')
        problems.push(grave(`${name} is 0: this node forwards nothing for its pods`, `Run sysctl -w ${name}=1.`));
    if (agent().config.intercept === 'tproxy') {
      if ((await read(VALID_MARK)) === '1')
        problems.push(
          grave(
            `${VALID_MARK} is 1: the kernel drops every IPv4 packet that TPROXY takes`,
            `Run sysctl -w ${VALID_MARK}=0 (wg-quick sets it), or capture by redirect.`,
          ),
        );
      for (const name of bridges.length === 0 ? [] : BRIDGE_NETFILTER)
        if ((await read(name)) === '1')
          problems.push(
            grave(
              `${name} is 1 and captured pods are on the bridge ${bridges[0]!.name}: TPROXY loses its socket there`,
              `Run sysctl -w ${name}=0 where nothing else needs it, or capture by redirect.`,
            ),
          );
    }
    return verdictOf(problems, `forwarding is on, nothing is in TPROXY's way`);
  },
};
