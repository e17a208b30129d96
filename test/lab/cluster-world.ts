/** What tests of a node in a cluster share: one control plane a file, an empty cluster a test, one node in it. */
import {join} from 'node:path';
import {afterAll, afterEach, beforeAll, expect, type test} from '@jest/globals';
import {startControlPlane, type ControlPlane} from '../cluster/control-plane.ts';
import {clusterTest} from '../cluster/require.ts';
import {until, WITHIN_MS} from '../waiting.ts';
import {clusterNode, type Agent, type ClusterNode} from './cluster-node.ts';
import {labTests} from './privileges.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Of one test: more than what it waits for, each of which has WITHIN_MS and says what was seen. */
export const LONG_MS = 15 * WITHIN_MS;
/** Addresses of the internet where a web server answers. */
export const SITE = '203.0.113.9';
export const OTHER_SITE = '203.0.113.77';
export const SITE_URL = `http://${SITE}/`;
export const OTHER_URL = `http://${OTHER_SITE}/`;
/** For curl, of what is dropped: there is nothing to wait for. */
export const BRIEFLY = ['-m', '3'];

export interface ClusterWorld {
  readonly cluster: ControlPlane;
  /** kubectl, which must succeed. */
  done(argv: readonly string[], input?: string): void;
  apply(object: object): void;
  /** A node and its lab, gone after the test. */
  open(): Promise<ClusterNode>;
}

/** `test` where there are a control plane and the right to make namespaces. */
export const nodeTest = (): typeof test => labTests(clusterTest());

/** Registers what is done before and after the tests of a file. */
export function clusterWorld(): ClusterWorld {
  let cluster: ControlPlane | null = null;
  let node: ClusterNode | null = null;
  let nodes = 0;
  const world: ClusterWorld = {
    get cluster() {
      return cluster!;
    },
    done: (argv, input) => expect(cluster!.kubectl(argv, input)).toMatchObject({status: 0}),
    apply: (object) => world.done(['apply', '-f', '-'], JSON.stringify(object)),
    async open() {
      const name = `n${++nodes}`;
      const {kubeconfig} = cluster!;
      node = await clusterNode({cluster: cluster!, name, kubeconfig, sites: [SITE, OTHER_SITE]});
      return node;
    },
  };
  beforeAll(async () => {
    cluster = await startControlPlane();
    world.done(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]);
    world.done(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
    for (const namespace of ['default', 'shop', 'kube-system']) {
      cluster.kubectl(['create', 'namespace', namespace]);
      cluster.kubectl(['create', 'serviceaccount', 'default', '-n', namespace]);
    }
  }, LONG_MS);
  afterEach(async () => {
    await node?.close();
    node = null;
    world.done(['delete', 'egresspolicies,clusteregresspolicies,upstreamproxies', '--all', '--all-namespaces']);
    world.done(['delete', 'pods', '--all', '--all-namespaces', '--force', '--grace-period=0']);
  }, LONG_MS);
  afterAll(() => cluster?.stop());
  return world;
}

/** `podSelector: {}` of a namespace: HTTP to one address. */
export const policyOf = (namespace: string, name: string, ip: string): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name, namespace},
  spec: {podSelector: {}, rules: [{name: 'web', to: {schemes: ['http'], cidrs: [`${ip}/32`]}}]},
});

/** Asks until the answer is that; else an error with what it was, and what the agent said where it is given. */
export async function soon<T>(ask: () => Promise<T>, expected: T, agent?: Agent): Promise<void> {
  const what = `${JSON.stringify(expected)} of ${ask.toString()}`;
  await until(ask, (answer) => Object.is(answer, expected), {what, ...(agent === undefined ? {} : {said: agent.said})});
}

/** Until the agent is ready; else an error with its /readyz, and what it said. */
export async function ready(agent: Agent): Promise<void> {
  await until(agent.ready, ({status}) => status === 200, {what: 'the agent is ready', said: agent.said});
}
