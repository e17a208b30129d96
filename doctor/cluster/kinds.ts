/** The objects that are read, as far as they are looked at; and where they are. */
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

export interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}

export interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly Requirement[];
}

export interface Webhook {
  readonly name: string;
  readonly failurePolicy?: 'Fail' | 'Ignore';
  readonly timeoutSeconds?: number;
  readonly namespaceSelector?: Selector;
  readonly objectSelector?: Selector;
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

/** metav1.LabelSelector on labels: all of its parts hold. */
export function selects(selector: Selector | undefined, labels: Readonly<Record<string, string>>): boolean {
  const {matchLabels = {}, matchExpressions = []} = selector ?? {};
  const equal = Object.entries(matchLabels).every(([key, value]) => labels[key] === value);
  return equal && matchExpressions.every((requirement) => holds(requirement, labels));
}

function holds({key, operator, values = []}: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[key];
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
  }
}

/** `default/web`, or `web`. */
export const nameOf = ({metadata: {name, namespace}}: Thing): string =>
  namespace === undefined ? name : `${namespace}/${name}`;
