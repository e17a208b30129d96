/** What our own service accounts may do: no more than the chart gives them. */
import type {Check} from '../check.ts';
import {grave, ok, verdictOf, type Problem} from '../outcome.ts';
import type {Thing} from '../cluster/api.ts';
import {nameOf, PATHS} from '../cluster/kinds.ts';
import type {ClusterWorld} from '../cluster/world.ts';
import {widerThanOurs, type Rule} from '../cluster/our-rbac.ts';

interface Binding extends Thing {
  readonly roleRef: {readonly kind: string; readonly name: string};
  readonly subjects?: readonly {readonly kind: string; readonly name: string; readonly namespace?: string}[];
}

interface Role extends Thing {
  readonly rules?: readonly Rule[];
}

const FIX = 'Remove the binding or the rule, or upgrade the chart: whoever takes over such a pod has these rights too.';

export const clusterRbac: Check<ClusterWorld> = {
  name: 'cluster.rbac',
  looks: "our service accounts' rights against the chart's",
  run: async ({api, namespace}) => {
    const bindings = [
      ...(await api.list<Binding>(PATHS.clusterRoleBindings)),
      ...(await api.list<Binding>(PATHS.roleBindings)),
    ];
    const roles = new Map(
      [...(await api.list<Role>(PATHS.clusterRoles)), ...(await api.list<Role>(PATHS.roles))].map((role) => [
        nameOf(role),
        role,
      ]),
    );
    const problems: Problem[] = [];
    let ours = 0;
    for (const binding of bindings)
      for (const subject of binding.subjects ?? []) {
        const account = accountOf(subject, namespace);
        if (account === null) continue;
        ours++;
        const at = binding.metadata.namespace;
        const {kind, name} = binding.roleRef;
        const role = roles.get(kind === 'ClusterRole' || at === undefined ? name : `${at}/${name}`);
        for (const wide of (role?.rules ?? []).flatMap((rule) => widerThanOurs(account, rule, at ?? null, namespace)))
          problems.push(grave(`${account} may ${wide} (${kind} ${name}, bound by ${nameOf(binding)})`, FIX));
      }
    if (ours === 0) return ok(`no role is bound to a service account of ${namespace}`);
    return verdictOf(problems, `${ours} bindings, none wider than the chart's`);
  },
};

/** The account's name; null: not of our namespace. A whole namespace of accounts is everybody in it. */
function accountOf({kind, name, namespace}: NonNullable<Binding['subjects']>[number], ours: string): string | null {
  if (kind === 'ServiceAccount') return namespace === ours ? name : null;
  return kind === 'Group' && name === `system:serviceaccounts:${ours}` ? 'every account' : null;
}
