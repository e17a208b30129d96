/** The addresses of the one-node cluster. The node's own and the internet's are the lab's (test/lab/plan.ts). */
export const NODE = {name: 'node-a', ip: '10.78.0.1'} as const;
export const PODS_CIDR = '10.244.0.0/24';
export const SERVICES = {cidr: '10.96.0.0/16', api: '10.96.0.1', dns: '10.96.0.10'} as const;
export const PORTS = {api: 6443, etcd: 2379, etcdPeer: 2380} as const;
