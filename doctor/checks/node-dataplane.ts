/** eBPF dataplanes move packets before, or past, netfilter: named where one is there. */
import type {Check} from '../check.ts';
import {ok, warn} from '../outcome.ts';
import type {NodeWorld} from '../node/world.ts';

interface Link {
  readonly ifname: string;
  readonly xdp?: {readonly mode?: unknown};
}

/** Interfaces that only these make (their own documentation). */
const DATAPLANES: readonly {readonly name: string; readonly pattern: RegExp; readonly fix: string}[] = [
  {
    name: 'Cilium',
    pattern: /^cilium_(host|net|vxlan|geneve)$/,
    fix: 'Run Cilium with bpf.masquerade=false, kube-proxy-replacement off for pod traffic and host routing by the kernel (bpf.hostLegacyRouting=true), or use capture: pod.',
  },
  {
    name: "Calico's eBPF dataplane",
    pattern: /^bpf(in|out)\.cali$/,
    fix: 'Run Calico with its nftables or iptables dataplane (bpfEnabled: false), or use capture: pod.',
  },
];

export const nodeDataplane: Check<NodeWorld> = {
  name: 'node.dataplane',
  looks: 'eBPF programs that could carry packets past netfilter',
  run: async ({commands, capture}) => {
    const {stdout} = await commands.run(['ip', '-j', '-d', 'link', 'show']);
    const links = JSON.parse(stdout) as Link[];
    const found = DATAPLANES.find(({pattern}) => links.some(({ifname}) => pattern.test(ifname)));
    const proof = 'node.probe says whether packets still come by the rules';
    if (found !== undefined) return warn(`${found.name} is on this node; ${proof}`, found.fix);
    const held = new Set((await capture()).members.flatMap((member) => [member.port ?? member.interface ?? '']));
    for (const {ifname, xdp} of links) {
      if (!held.has(ifname)) continue;
      if (xdp !== undefined)
        return warn(`an XDP program is on ${ifname}, a captured pod's interface; ${proof}`, FOREIGN);
      if (await hasProgram(commands, ifname))
        return warn(`a tc eBPF program is on ${ifname}, a captured pod's interface; ${proof}`, FOREIGN);
    }
    return ok('no Cilium, no Calico eBPF, no program on a captured interface');
  },
};

const FOREIGN = 'Find out whose it is (bpftool net): if it redirects packets, the capture does not see them.';

/** tc(8), where it is installed: what it does not list is attached by tcx, and then only the probe tells. */
async function hasProgram(commands: NodeWorld['commands'], ifname: string): Promise<boolean> {
  try {
    const {stdout} = await commands.run(['tc', 'filter', 'show', 'dev', ifname, 'ingress']);
    return /\bbpf\b/.test(stdout);
  } catch {
    return false;
  }
}
