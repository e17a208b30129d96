/** The most that the chart gives to each role, as a table; a test holds it against the chart. Pure. */

export interface Rule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

const READ = ['get', 'list', 'watch'] as const;

/** `group/resource`: verbs anywhere in the cluster; the core group's name is empty. */
const ANYWHERE: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'sallyport-node': {
    'sallyport.dev/egresspolicies': READ,
    'sallyport.dev/clusteregresspolicies': READ,
    'sallyport.dev/upstreamproxies': READ,
    'sallyport.dev/egressnodes': ['create', 'get', 'patch'],
    'sallyport.dev/egressnodes/status': ['create', 'get', 'patch'],
    '/pods': READ,
    '/namespaces': READ,
    '/nodes': ['get', 'patch'],
    'events.k8s.io/events': ['create', 'patch'],
    'certificates.k8s.io/certificatesigningrequests': ['create', 'get'],
    // With mtls.enabled, as are those of the controller.
    '/services': READ,
    'discovery.k8s.io/endpointslices': READ,
  },
  'sallyport-injector': {'/namespaces': READ, 'sallyport.dev/upstreamproxies': READ},
  'sallyport-extauthz': {
    'sallyport.dev/egresspolicies': READ,
    'sallyport.dev/clusteregresspolicies': READ,
    'sallyport.dev/upstreamproxies': READ,
    '/pods': READ,
    '/namespaces': READ,
    'events.k8s.io/events': ['create', 'patch'],
  },
  'sallyport-controller': {
    'sallyport.dev/egresspolicies': READ,
    'sallyport.dev/clusteregresspolicies': READ,
    'sallyport.dev/upstreamproxies': READ,
    'sallyport.dev/meshegresses': READ,
    'sallyport.dev/egressnodes': [...READ, 'delete'],
    'sallyport.dev/egresspolicies/status': ['get', 'patch', 'update'],
    'sallyport.dev/clusteregresspolicies/status': ['get', 'patch', 'update'],
    'sallyport.dev/upstreamproxies/status': ['get', 'patch', 'update'],
    'sallyport.dev/meshegresses/status': ['get', 'patch', 'update'],
    '/pods': READ,
    '/namespaces': READ,
    '/nodes': READ,
    '/configmaps': ['create'],
    'certificates.k8s.io/certificatesigningrequests': READ,
    'certificates.k8s.io/certificatesigningrequests/approval': ['update'],
    'certificates.k8s.io/certificatesigningrequests/status': ['update'],
    'authentication.k8s.io/tokenreviews': ['create'],
    '/services': READ,
    'discovery.k8s.io/endpointslices': READ,
  },
};

/** The same where the rule names the objects. */
const NAMED: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'sallyport-node': {'/configmaps': ['get', 'list', 'watch'], '/secrets': ['get', 'list', 'watch']},
  'sallyport-controller': {
    '/configmaps': [...READ, 'patch', 'delete'],
    'certificates.k8s.io/signers': ['approve', 'sign'],
    'admissionregistration.k8s.io/mutatingwebhookconfigurations': ['get', 'patch'],
    'admissionregistration.k8s.io/validatingwebhookconfigurations': ['get', 'patch'],
  },
};

/** In our own namespace, beside these. */
const OWN: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'sallyport-controller': {
    '/secrets': [...READ, 'create', 'update', 'patch'],
    'coordination.k8s.io/leases': ['get', 'create', 'update', 'patch'],
  },
};

/**
 * What a rule of a role that is bound to `account` gives beyond the chart's, as sentences; empty: nothing. `at`: the binding's
 * namespace, null for the cluster's; `own`: where we are installed.
 */
export function widerThanOurs(account: string, rule: Rule, at: string | null, own: string): string[] {
  const {apiGroups = [], resources = [], resourceNames = [], verbs, nonResourceURLs = []} = rule;
  const wide: string[] = nonResourceURLs.length > 0 ? [`${verbs.join(', ')} ${nonResourceURLs.join(', ')}`] : [];
  for (const group of apiGroups)
    for (const resource of resources) {
      const key = `${group}/${resource}`;
      const allowed = new Set([
        ...(ANYWHERE[account]?.[key] ?? []),
        ...(resourceNames.length > 0 ? (NAMED[account]?.[key] ?? []) : []),
        ...(at === own ? (OWN[account]?.[key] ?? []) : []),
      ]);
      const beyond = verbs.filter((verb) => !allowed.has(verb));
      if (beyond.length === 0) continue;
      const where = at === null ? 'in every namespace' : `in ${at}`;
      wide.push(`${beyond.join(', ')} ${group === '' ? resource : `${resource}.${group}`} ${where}`);
    }
  return wide;
}
