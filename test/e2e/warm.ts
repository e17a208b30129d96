/** Whether `npm run e2e` can start at once; exit code 1 where not. CI asks it: there is no time there for a quarter of an hour of builds. */
import {programPath} from '../cluster/binaries.ts';
import {istioProgram} from '../mesh/binaries.ts';

const NODE = ['kube-apiserver', 'kubectl', 'etcd', 'helm', 'kubelet', 'kube-proxy', 'coredns'] as const;
const ISTIO = ['pilot-discovery', 'istioctl', 'pilot-agent'] as const;

const missing = [
  ...NODE.filter((name) => programPath(name) === null),
  ...ISTIO.filter((name) => istioProgram(name) === null),
];
if (missing.length > 0) {
  console.log(`== e2e: skipped: ${missing.join(', ')} are not built yet. npm run e2e builds them, in fifteen minutes.`);
  process.exitCode = 1;
}
