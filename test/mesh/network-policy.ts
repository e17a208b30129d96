/** A NetworkPolicy's egress as nft rules on the lab's node: what a network plugin makes of it (Kubernetes, "Network Policies"). */
import type {IstioObject} from '../../mesh-config/objects.ts';
import type {Lab, LabPod} from '../lab/index.ts';

/** A pod of the cluster, as selectors see it. */
export interface KnownPod {
  readonly ip: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {readonly key: string; readonly operator: string; readonly values: string[]}[];
}
interface Peer {
  readonly namespaceSelector?: Selector;
  readonly podSelector?: Selector;
}
interface Rule {
  /** Without it, everybody. */
  readonly to?: readonly Peer[];
  readonly ports: readonly {readonly protocol: 'TCP' | 'UDP'; readonly port: number; readonly endPort?: number}[];
}

/** Holds `pod` to the policy's egress until the returned function is called. IPv4: the lab's pods are known by that. */
export async function enforce(
  lab: Lab,
  policy: Pick<IstioObject, 'spec'>,
  pod: LabPod,
  known: readonly KnownPod[],
): Promise<() => Promise<void>> {
  const rules = (policy.spec['egress'] as readonly Rule[]).flatMap(({to, ports}) => {
    const selected = to && known.filter((one) => to.some((peer) => selects(peer, one))).map(({ip}) => `ip daddr ${ip}`);
    return (selected ?? ['']).flatMap((where) =>
      ports.map(
        ({protocol, port, endPort}) =>
          `${where} ${protocol.toLowerCase()} dport ${port}${endPort === undefined ? '' : `-${endPort}`} accept`,
      ),
    );
  });
  const chain = (hook: string): string => `  chain ${hook} {
    type filter hook ${hook} priority filter;
    iifname != "${pod.interface}" accept
    ct state established,related accept
    ${rules.join('\n    ')}
    drop
  }
`;
  const nft = async (text: string): Promise<void> => {
    const {status, stderr} = await lab.exec('node', ['nft', '-f', '-'], {stdin: text});
    if (status !== 0) throw new Error(`nft: ${stderr}\n${text}`);
  };
  // The node's own addresses stand for pods here too.
  await nft(`table inet enforced {\n${chain('forward')}${chain('input')}}\n`);
  return () => nft('delete table inet enforced\n');
}

const selects = ({namespaceSelector, podSelector}: Peer, {namespace, labels}: KnownPod): boolean =>
  matches(namespaceSelector, {'kubernetes.io/metadata.name': namespace}) && matches(podSelector, labels);

function matches(selector: Selector | undefined, labels: Readonly<Record<string, string>>): boolean {
  const {matchLabels = {}, matchExpressions = []} = selector ?? {};
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({key, operator, values}) => {
      if (operator !== 'NotIn') throw new Error(`${operator} is not known here`);
      return !values.includes(labels[key] ?? '');
    })
  );
}
