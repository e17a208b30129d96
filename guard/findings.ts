/** What the guard may find, and what it says to whoever reads `kubectl describe pod`: what is wrong, why, what to do. */
import type {CaptureProof} from '../runtime/capture-proof.ts';
import type {Answer} from './dial.ts';
import type {Fate} from './probe.ts';

export type Finding =
  | {readonly kind: 'no-address'}
  | {readonly kind: 'second-interface'; readonly name: string; readonly ip: string}
  | {readonly kind: 'unproved'; readonly at: string; readonly answer: Exclude<Answer, {kind: 'proved'}>}
  | {readonly kind: 'wrong-pod'; readonly at: string; readonly proof: CaptureProof; readonly uid: string}
  /** Something that no policy can allow was not refused. */
  | {readonly kind: 'open'; readonly what: string; readonly fate: Fate}
  | {readonly kind: 'tcp-open'; readonly what: string}
  | {readonly kind: 'no-family'};

export interface Circumstances {
  readonly node: string | null;
  /** What the pod's routes look like. */
  readonly dataplane: string | null;
}

/** One paragraph. */
export function describe(finding: Finding, where: Circumstances): string {
  switch (finding.kind) {
    case 'no-address':
      return 'NoAddress: this pod has no address yet that anything could be sent from.';
    case 'no-family':
      return 'NoRoute: this pod has a route neither for IPv4 nor for IPv6, so that there is nothing to prove.';
    case 'second-interface':
      return `SecondInterface: ${finding.name} with ${finding.ip} is an interface beside the pod's own: what leaves by it is not captured. Remove the network attachment (k8s.v1.cni.cncf.io/networks), or the capture.`;
    case 'wrong-pod': {
      const {namespace, name, uid} = finding.proof.pod;
      return `WrongPod: the proxy on ${finding.proof.node} takes this pod for ${namespace}/${name} (uid ${uid}), and it is uid ${finding.uid}: the proxy would hold it to another's policy. Its table of addresses is behind, or two pods have one address; it is asked again until the time is up.`;
    }
    case 'open':
      return `NotClosed: TCP is handed to Sallyport, but ${finding.what} ${fateText(finding.fate)}, where the lock refuses it as administratively prohibited. ${bypass(where)}`;
    case 'tcp-open':
      return `NotClosed: TCP to ${finding.what} was answered by whoever has that address, not taken by Sallyport. ${bypass(where)}`;
    case 'unproved':
      return unproved(finding.at, finding.answer, where);
  }
}

function unproved(at: string, answer: Exclude<Answer, {kind: 'proved'}>, where: Circumstances): string {
  switch (answer.kind) {
    case 'no-connection':
      if (answer.code === 'ECONNREFUSED')
        return `NotCaptured: a connection to ${at} was refused. Sallyport refuses none there: either something in the pod redirects it first (Istio's CNI plugin, with a sidecar that does not run yet: choose mode mesh for such pods), or a firewall answered. ${agent(where)}`;
      return `NotCaptured: nothing answers at ${at} (${answer.code}), where only Sallyport's capture can. ${agent(where)} ${bypass(where)}`;
    case 'no-tls':
      return `NotCaptured: ${at} took the connection and ended it (${answer.code}). If it was Sallyport, it does not know this pod yet: the proxy answers nobody whose address it does not know. ${agent(where)}`;
    case 'not-ours':
      return `NotOurs: ${at} was answered by somebody whose certificate is not by the CA in the trust bundle (${answer.why}). Another proxy takes this pod's traffic, or the bundle is older than the CA: compare the ConfigMap's ca.crt with the controller's.`;
    case 'no-proof':
      return `NoProof: the proxy at ${at} gives no proof of capture (${JSON.stringify(answer.said)}). Its version and the guard's must be the same.`;
  }
}

function fateText(fate: Fate): string {
  switch (fate.kind) {
    case 'refused':
      return 'was refused';
    case 'bounced':
      return `came back with ICMP type ${fate.error.type}, code ${fate.error.code}${fate.error.by === null ? '' : ` from ${fate.error.by}`}`;
    case 'answered':
      return 'was answered';
    case 'silent':
      return 'left without a word coming back';
    case 'kept':
    case 'impossible':
      return `could not be tried (${fate.code})`;
  }
}

function agent({node}: Circumstances): string {
  const on = node === null ? 'its node' : `node ${node}`;
  const select = node === null ? '' : ` --field-selector spec.nodeName=${node}`;
  return `See whether the agent of ${on} runs and is ready: kubectl get pods -A -l app.kubernetes.io/component=tproxy -o wide${select}.`;
}

/** CNIs that carry packets past netfilter, by the switch that stops it. */
function bypass({dataplane}: Circumstances): string {
  const seen = dataplane === null ? '' : ` (this pod's routes look like ${dataplane}'s)`;
  return `A CNI whose dataplane is eBPF carries packets past netfilter${seen}: with Cilium set bpf.hostLegacyRouting=true, with Calico linuxDataplane: Iptables; else label the pod sallyport.dev/capture: pod.`;
}
