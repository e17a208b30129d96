/** The workload table, as identities are looked up in it: by address, by pod, and what is known of a namespace. */
import type {Address, Workload} from '../../policy/index.ts';
import {indexWorkloads, type WorkloadEntry} from '../../sources/workload-table.ts';
import type {Account} from './spiffe.ts';

export interface Directory {
  at(ip: Address): Workload | undefined;
  pod(namespace: string, name: string): Workload | undefined;
  /**
   * A workload of which only the account is known: its labels are not, so policies that look at them contribute their Deny
   * rules only. undefined: nothing is known of the namespace, whose labels would select cluster policies.
   */
  account(account: Account): Workload | undefined;
}

export function createDirectory(entries: readonly WorkloadEntry[]): Directory {
  const byAddress = indexWorkloads(entries);
  const byPod = new Map<string, Workload>();
  const namespaces = new Map<string, Workload>();
  for (const {workload} of entries) {
    byPod.set(`${workload.namespace}/${workload.name}`, workload);
    namespaces.set(workload.namespace, workload);
  }
  // One value per account: the policies' selection is remembered by it. Only namespaces of the table get here.
  const accounts = new Map<string, Workload>();
  return {
    at: (ip) => byAddress.get(ip),
    pod: (namespace, name) => byPod.get(`${namespace}/${name}`),
    account({namespace, serviceAccount}) {
      const key = `${namespace}/${serviceAccount}`;
      const known = accounts.get(key);
      if (known !== undefined) return known;
      const neighbour = namespaces.get(namespace);
      if (neighbour === undefined) return undefined;
      const workload: Workload = {
        namespace,
        namespaceLabels: neighbour.namespaceLabels,
        name: `serviceaccount:${serviceAccount}`,
        uid: `serviceaccount:${key}`,
        labels: null,
        serviceAccount,
        node: null,
        trustsCa: false,
      };
      if (accounts.size < MAX_ACCOUNTS) accounts.set(key, workload);
      return workload;
    },
  };
}

/** More service accounts than a cluster has; past it an account is only slower, not refused. */
const MAX_ACCOUNTS = 100_000;
