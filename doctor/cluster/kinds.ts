/** The objects that are read, as far as they are looked at; and where they are. */
import type {WrittenSelector} from '../../policy/index.ts';
import type {Thing} from './api.ts';

const GROUP = '/apis/sallyport.dev/v1alpha1';

export const PATHS = {
  pods: '/api/v1/pods',
  namespaces: '/api/v1/namespaces',
  nodes: '/api/v1/nodes',
  egressNodes: `${GROUP}/egressnodes`,
  egressPolicies: `${GROUP}/egresspolicies`,
  clusterPolicies: `${GROUP}/clusteregresspolicies`,
  upstreamProxies: `${GROUP}/upstreamproxies`,
  definitions: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
  mutating: '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations',
  validating: '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations',
  clusterRoles: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  clusterRoleBindings: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  roles: '/apis/rbac.authorization.k8s.io/v1/roles',
  roleBindings: '/apis/rbac.authorization.k8s.io/v1/rolebindings',
} as const;

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly observedGeneration?: number;
}

export interface Conditioned extends Thing {
  readonly status?: {readonly conditions?: readonly Condition[]};
}

export interface Webhook {
  readonly name: string;
  readonly failurePolicy?: 'Fail' | 'Ignore';
  readonly timeoutSeconds?: number;
  readonly namespaceSelector?: WrittenSelector;
  readonly objectSelector?: WrittenSelector;
  readonly clientConfig: {
    readonly url?: string;
    readonly caBundle?: string;
    readonly service?: {readonly name: string; readonly namespace: string; readonly port?: number};
  };
  readonly rules?: readonly {readonly operations?: readonly string[]; readonly resources?: readonly string[]}[];
}

export interface WebhookConfiguration extends Thing {
  readonly webhooks?: readonly Webhook[];
}

/** `default/web`, or `web`. */
export const nameOf = ({metadata: {name, namespace}}: Thing): string =>
  namespace === undefined ? name : `${namespace}/${name}`;
