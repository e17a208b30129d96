/** What UpstreamProxies name, read from a real API server by a user who may read these objects and no others. */
import {setTimeout} from 'node:timers/promises';
import {afterAll, afterEach, beforeAll, expect} from '@jest/globals';
import type {Ref} from '../policy/index.ts';
import type {Journal} from '../runtime/journal.ts';
import {startControlPlane, type ControlPlane} from '../test/cluster/control-plane.ts';
import {clusterTest} from '../test/cluster/require.ts';
import {connectionOf} from './connection.ts';
import {ClusterRefs} from './refs.ts';

const LONG_MS = 60_000;
const USER = 'reader';
const secret: Ref = {kind: 'secret', namespace: 'egress', name: 'corp', key: null};
const roots: Ref = {kind: 'configMap', namespace: 'egress', name: 'roots', key: 'ca.crt'};
const other: Ref = {kind: 'secret', namespace: 'egress', name: 'other', key: null};

let cluster: ControlPlane;
let kubeconfig: string;
const apply = (...items: object[]): void =>
  expect(cluster.kubectl(['apply', '-f', '-'], JSON.stringify({apiVersion: 'v1', kind: 'List', items}))).toMatchObject({
    status: 0,
  });
const secretOf = (name: string, stringData: object): object => ({
  ...{apiVersion: 'v1', kind: 'Secret', metadata: {name, namespace: 'egress'}, stringData},
});
const named = (resource: string, name: string): object => ({
  ...{apiGroups: [''], resources: [resource], resourceNames: [name], verbs: ['get', 'list', 'watch']},
});

beforeAll(async () => {
  cluster = await startControlPlane();
  kubeconfig = cluster.kubeconfigOf(USER, []);
  const rbac = {apiVersion: 'rbac.authorization.k8s.io/v1', metadata: {name: USER, namespace: 'egress'}};
  apply(
    {apiVersion: 'v1', kind: 'Namespace', metadata: {name: 'egress'}},
    {...rbac, kind: 'Role', rules: [named('secrets', 'corp'), named('configmaps', 'roots')]},
    {
      ...{...rbac, kind: 'RoleBinding', subjects: [{kind: 'User', name: USER, apiGroup: 'rbac.authorization.k8s.io'}]},
      roleRef: {kind: 'Role', name: USER, apiGroup: 'rbac.authorization.k8s.io'},
    },
  );
}, 180_000);
afterAll(() => cluster?.stop());

const notices: string[] = [];
const journal = {
  notice: (_level: string, _event: string, message: string) => notices.push(message),
} as unknown as Journal;
let refs: ClusterRefs | null = null;
afterEach(() => refs?.close());

/** Reads again with each change until it is that. */
async function reads(ref: Ref, key: string, expected: string): Promise<void> {
  const now = (): string => {
    try {
      return refs!.read(ref, key);
    } catch (error) {
      return (error as Error).message;
    }
  };
  for (const until = Date.now() + LONG_MS; !now().includes(expected); await setTimeout(20))
    if (Date.now() > until) throw new Error(`${key} is not ${expected}: ${now()}`);
}

clusterTest()(
  'a named object is read, followed when it changes, and missing when it goes',
  async () => {
    refs = new ClusterRefs(connectionOf(kubeconfig, {}), journal);
    refs.follow([secret, roots]);
    expect(() => refs!.read(secret, 'username')).toThrow('Secret egress/corp has not been told');
    await reads(secret, 'username', 'Secret egress/corp is not there');
    apply(secretOf('corp', {username: 'me', password: 'one'}));
    await reads(secret, 'password', 'one');
    expect(refs.read(secret, 'username')).toBe('me');
    expect(() => refs!.read(secret, 'token')).toThrow('Secret egress/corp has no key "token"');
    apply({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {name: 'roots', namespace: 'egress'},
      data: {'ca.crt': 'PEM'},
    });
    await reads(roots, 'ca.crt', 'PEM');
    expect(refs.settled).toBe(true);
    apply(secretOf('corp', {username: 'me', password: 'two'}));
    await reads(secret, 'password', 'two');
    expect(cluster.kubectl(['delete', 'secret', '-n', 'egress', 'corp']).status).toBe(0);
    await reads(secret, 'password', 'is not there');
  },
  4 * LONG_MS,
);

clusterTest()(
  'one that we may not read is missing, said once, and keeps nobody waiting; the others are read',
  async () => {
    apply(secretOf('corp', {username: 'me', password: 'one'}), secretOf('other', {username: 'hidden'}));
    refs = new ClusterRefs(connectionOf(kubeconfig, {}), journal);
    let changes = 0;
    await refs.watch(() => changes++);
    refs.follow([secret, other]);
    expect(refs.settled).toBe(false);
    await reads(secret, 'password', 'one');
    await reads(other, 'username', 'forbidden');
    expect([refs.settled, changes > 0]).toEqual([true, true]);
    expect(notices.filter((message) => message.includes('Secret egress/other'))).toHaveLength(1);
    // Named by nobody any more: it is not known any more either.
    refs.follow([other]);
    expect(() => refs!.read(secret, 'password')).toThrow('has not been told');
  },
  4 * LONG_MS,
);
