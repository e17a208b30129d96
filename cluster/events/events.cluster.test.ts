/** Events of denials beside a real API server: from the recorder, and from `sallyport extauthz` as a user who may do what its sample role says. */
import {join} from 'node:path';
import {KubeConfig} from '@kubernetes/client-node';
import {afterAll, afterEach, beforeAll, describe, expect} from '@jest/globals';
import {question} from '../../extauthz/testing/asking.ts';
import {grpcClient} from '../../extauthz/testing/serving.ts';
import type {DenialCount} from '../../runtime/denials.ts';
import {startControlPlane, type ControlPlane} from '../../test/cluster/control-plane.ts';
import {freePorts} from '../../test/cluster/ports.ts';
import {objectsOf} from '../../test/cluster/objects.ts';
import {clusterTest} from '../../test/cluster/require.ts';
import {startRole, type Role} from '../../test/cluster/role.ts';
import {startEventRecorder, type EventRecorder} from './recorder.ts';
import {denialOf} from './testing.ts';
import {until as soon} from '../../test/waiting.ts';

const ROOT = join(import.meta.dirname, '../..');
const LONG_MS = 120_000;

let cluster: ControlPlane;
const config = new KubeConfig();
const {done, apply, define} = objectsOf(() => cluster);

beforeAll(async () => {
  cluster = await startControlPlane();
  config.loadFromFile(cluster.kubeconfig);
  define();
  for (const namespace of ['sallyport', 'shop']) done(['create', 'namespace', namespace]);
  done(['create', 'serviceaccount', 'default', '-n', 'shop']);
  done(['apply', '-f', join(ROOT, 'samples/kubernetes/extauthz-rbac.yaml')]);
}, LONG_MS);
afterAll(() => cluster?.stop());

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A pod that runs, and how a denial names it. */
function pod(name: string, ip: string): DenialCount['pod'] {
  const spec = {containers: [{name: 'app', image: 'a'}], automountServiceAccountToken: false};
  apply({apiVersion: 'v1', kind: 'Pod', metadata: {name, namespace: 'shop', labels: {app: name}}, spec});
  const status = JSON.stringify({status: {phase: 'Running', podIP: ip, podIPs: [{ip}]}});
  done(['patch', 'pod', '-n', 'shop', name, '--subresource=status', '--type=merge', '-p', status]);
  const uid = done(['get', 'pod', '-n', 'shop', name, '-o', 'jsonpath={.metadata.uid}']);
  return {namespace: 'shop', name, uid};
}

interface Event {
  readonly metadata: {readonly name: string; readonly namespace: string};
  readonly reason: string;
  readonly type: string;
  readonly note: string;
  readonly reportingController: string;
  readonly series?: {readonly count: number};
}
const eventsOf = (name: string): Event[] => {
  const all = JSON.parse(done(['get', 'events.events.k8s.io', '-n', 'shop', '-o', 'json'])) as {
    items: (Event & {regarding: {name: string}})[];
  };
  return all.items.filter(({regarding}) => regarding.name === name);
};

describe('the recorder', () => {
  interface Recording {
    readonly recorder: EventRecorder;
    readonly results: string[];
    readonly troubles: string[];
  }
  function recording(as = config): Recording {
    const [results, troubles]: [string[], string[]] = [[], []];
    const recorder = startEventRecorder({
      ...{config: as, reporter: {controller: 'sallyport.dev/tproxy', instance: 'node-1'}},
      onResult: (result) => results.push(result),
      onTrouble: (message) => troubles.push(message),
    });
    closing.push(() => recorder.stop());
    return {recorder, results, troubles};
  }

  clusterTest()(
    'writes what kubectl shows on the pod',
    async () => {
      const web = pod('web', '10.1.0.1');
      const {recorder, troubles} = recording();
      recorder.record([denialOf({pod: web, policy: {namespace: 'shop', name: 'p'}, count: 3})]);
      recorder.record([denialOf({pod: web, verdict: 'would', policy: {namespace: null, name: 'all'}})]);
      const events = await soon(
        () => eventsOf('web'),
        ({length}) => length === 2,
      );
      expect(events.map(({reason, type, series}) => [reason, type, series?.count]).sort()).toEqual([
        ['EgressDenied', 'Warning', 3],
        ['EgressWouldDeny', 'Normal', undefined],
      ]);
      expect(troubles).toEqual([]);
      const described = done(['describe', 'pod', '-n', 'shop', 'web']);
      expect(described).toMatch(
        /Warning\s+EgressDenied\s.*sallyport.dev\/tproxy.*0123456789abcdef: b\.test:443 was refused: NoRuleMatched/,
      );
      expect(described).toContain('sallyport explain 0123456789abcdef --log FILE');
    },
    LONG_MS,
  );

  clusterTest()(
    'says once that it may not, and goes on when it may',
    async () => {
      const shy = pod('shy', '10.1.0.2');
      const nobody = new KubeConfig();
      nobody.loadFromFile(cluster.kubeconfigOf('nobody', []));
      const {recorder, results, troubles} = recording(nobody);
      recorder.record([denialOf({pod: shy})]);
      await soon(
        () => results.length,
        (count) => count >= 2,
      );
      expect(results.filter((result) => result !== 'failed')).toEqual([]);
      expect([troubles.length, troubles[0]]).toEqual([1, expect.stringContaining('forbidden')]);
      done(['create', 'clusterrole', 'teller', '--verb=create,patch', '--resource=events.events.k8s.io']);
      done(['create', 'clusterrolebinding', 'teller', '--clusterrole=teller', '--user=nobody']);
      await soon(
        () => eventsOf('shy'),
        ({length}) => length === 1,
      );
    },
    LONG_MS,
  );

  clusterTest()(
    'gives up what nobody can be told any more: its namespace is gone',
    async () => {
      const {recorder, results, troubles} = recording();
      recorder.record([denialOf({pod: {namespace: 'gone', name: 'p', uid: 'u'}, count: 2})]);
      await soon(
        () => results,
        (all) => all.includes('suppressed'),
      );
      expect([results, troubles]).toEqual([['suppressed'], []]);
    },
    LONG_MS,
  );
});

describe('sallyport extauthz', () => {
  async function asked(
    ...flags: string[]
  ): Promise<{role: Role; ask: (source: string, ip: string, host: string) => Promise<unknown>; admin: string}> {
    const account = 'system:serviceaccount:sallyport:sallyport-extauthz';
    const kubeconfig = cluster.kubeconfigOf(account, ['system:serviceaccounts', 'system:authenticated']);
    const [port, adminPort] = (await freePorts(2)) as [number, number];
    const at = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`];
    const role = startRole(['extauthz', '--kubeconfig', kubeconfig, ...at, ...flags]);
    const client = grpcClient(`127.0.0.1:${port}`);
    closing.push(
      () => client.close(),
      () => role.stop(),
    );
    await role.logged(({event}) => event === 'extauthz.listening');
    const admin = `http://127.0.0.1:${adminPort}`;
    await soon(
      async () => (await fetch(`${admin}/readyz`)).status,
      (status) => status === 200,
    );
    const ask = async (source: string, ip: string, host: string): Promise<unknown> =>
      (await client.check(question({source, host, ip}))).dynamicMetadata?.reason;
    return {role, ask, admin};
  }

  clusterTest().each(['1', '2'])(
    'with %s processes tells a denied pod by whom it was denied, what, and what to ask for; and counts it',
    async (workers) => {
      const name = `asker-${workers}`;
      const source = `10.1.1.${workers}`;
      pod(name, source);
      apply({
        ...{apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressPolicy', metadata: {name, namespace: 'shop'}},
        spec: {
          podSelector: {matchLabels: {app: name}},
          rules: [
            {name: 'web', to: {schemes: ['http'], cidrs: ['203.0.113.9/32']}},
            {name: 'never', action: 'Deny', to: {schemes: ['http'], cidrs: ['203.0.113.66/32']}},
          ],
        },
      });
      const {ask, admin} = await asked('--workers', workers);
      const until = async (ip: string, reason: string): Promise<void> => {
        await soon(
          () => ask(source, ip, ip),
          (told) => told === reason,
        );
      };
      await until('203.0.113.9', 'RuleAllowed');
      await until('203.0.113.66', 'RuleDenied');
      await until('203.0.113.77', 'NoRuleMatched');
      const told = ({note}: Event): boolean => note.includes('RuleDenied') || note.includes('NoRuleMatched');
      const events = (
        await soon(
          () => eventsOf(name).filter(told),
          ({length}) => length === 2,
        )
      ).sort((a, b) => (a.note.includes('RuleDenied') ? -1 : 1) - (b.note.includes('RuleDenied') ? -1 : 1));
      expect(events.map(({reason, reportingController}) => [reason, reportingController])).toEqual([
        ['EgressDenied', 'sallyport.dev/extauthz'],
        ['EgressDenied', 'sallyport.dev/extauthz'],
      ]);
      expect(events[0]!.note).toContain(
        `203.0.113.66:80 was refused: RuleDenied, EgressPolicy shop/${name}, rule never`,
      );
      expect(events[1]!.note).toContain('203.0.113.77:80 was refused: NoRuleMatched');
      const metrics = await (await fetch(`${admin}/metrics`)).text();
      expect(metrics).toMatch(/sallyport_events_total\{result="created"\} [2-9]/);
      expect(metrics).toMatch(
        new RegExp(
          `sallyport_policy_decisions_total\\{namespace="shop",policy="${name}",verdict="deny",reason="RuleDenied"\\} \\d`,
        ),
      );
    },
    LONG_MS,
  );
});
