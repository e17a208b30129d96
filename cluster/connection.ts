/** Which API server, and as whom. */
import {KubeConfig} from '@kubernetes/client-node';
import {SallyportError} from '../runtime/errors.ts';

/**
 * Of `--kubeconfig`, else of the pod's own service account. Nothing is taken from a home directory: a role that runs for
 * years must not follow somebody's `kubectl config use-context`.
 */
export function connectionOf(kubeconfig: string | null, env: NodeJS.ProcessEnv): KubeConfig {
  const config = new KubeConfig();
  try {
    if (kubeconfig !== null) config.loadFromFile(kubeconfig);
    else if (env['KUBERNETES_SERVICE_HOST'] !== undefined) config.loadFromCluster();
    else
      throw new SallyportError(
        'Usage',
        'no --kubeconfig, and this is no pod',
        'Name a kubeconfig file, or run it in a pod with a service account.',
      );
  } catch (cause) {
    if (cause instanceof SallyportError) throw cause;
    throw new SallyportError(
      'KubeconfigUnreadable',
      kubeconfig === null
        ? `the pod's service account: ${(cause as Error).message}`
        : `--kubeconfig ${kubeconfig}: ${(cause as Error).message}`,
      'Give --kubeconfig a file that kubectl works with.',
      {cause},
    );
  }
  const {server, skipTLSVerify} = config.getCurrentCluster() ?? {server: ''};
  if (server === '')
    throw new SallyportError(
      'KubeconfigUnreadable',
      `--kubeconfig ${kubeconfig ?? ''} names no current cluster`,
      'Set current-context to a context of the file.',
    );
  if (skipTLSVerify === true)
    throw new SallyportError(
      'Usage',
      `--kubeconfig ${kubeconfig ?? ''} does not verify the API server`,
      'Leave insecure-skip-tls-verify out and give certificate-authority: whoever answers there would decide who is captured.',
    );
  return config;
}
