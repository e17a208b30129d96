/** The table of rights is the chart's: what helm renders is not wider, or doctor would complain of a fresh installation. */
import {expect} from '@jest/globals';
import {NAMESPACE, rendered, type Rendered} from '../../test/chart/helm.ts';
import {clusterTest} from '../../test/cluster/require.ts';
import {widerThanOurs, type Rule} from './our-rbac.ts';

/** Everything that has rights of its own is on. */
const VALUES = {
  cluster: {serviceCidrs: ['10.96.0.0/12'], podCidrs: ['10.244.0.0/16']},
  mtls: {enabled: true},
  extauthz: {enabled: true, tls: {clientCa: {configMap: 'mesh-ca'}}},
  upstreamProxies: {
    corp: {
      endpoints: [{url: 'http://10.1.2.3:3128'}],
      auth: {secretRef: {name: 'corp', namespace: 'team'}},
      hosts: ['*'],
    },
  },
};

clusterTest('helm')('no role of the chart is wider than what doctor knows', () => {
  const objects = rendered(VALUES);
  const roles = new Map(objects.filter(isRole).map((role) => [keyOf(role), role]));
  const wide: string[] = [];
  let bound = 0;
  for (const binding of objects.filter(({kind}) => kind.endsWith('RoleBinding'))) {
    const {roleRef, subjects} = binding as Rendered & {
      roleRef: {kind: string; name: string};
      subjects: {kind: string; name: string; namespace: string}[];
    };
    const at = binding.metadata.namespace ?? (binding.kind === 'RoleBinding' ? NAMESPACE : null);
    const role = roles.get(`${roleRef.kind} ${roleRef.kind === 'Role' ? at : ''}/${roleRef.name}`);
    for (const {kind, name, namespace} of subjects) {
      if (kind !== 'ServiceAccount' || namespace !== NAMESPACE) continue;
      bound++;
      for (const rule of (role?.['rules'] ?? []) as Rule[])
        wide.push(...widerThanOurs(name, rule, at, NAMESPACE).map((what) => `${name}: ${what}`));
    }
  }
  expect(bound).toBeGreaterThanOrEqual(5);
  expect(wide).toEqual([]);
});

const isRole = ({kind}: Rendered): boolean => kind === 'Role' || kind === 'ClusterRole';
const keyOf = ({kind, metadata}: Rendered): string =>
  `${kind} ${kind === 'Role' ? (metadata.namespace ?? NAMESPACE) : ''}/${metadata.name}`;
