import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {loadDocuments, policySelects, type PolicyDocument} from '../../policy/index.ts';
import type {RunningPod} from './enforced-pods.ts';
import {EnforcedTable} from './enforced-table.ts';
import {runningPodOf} from './testing.ts';

function policy(namespace: string | null, spec: string): PolicyDocument {
  const kind = namespace === null ? 'ClusterEgressPolicy' : 'EgressPolicy';
  const metadata = namespace === null ? '{name: p}' : `{name: p, namespace: ${namespace}}`;
  const text = `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: ${metadata}\nspec: {${spec}, rules: []}\n`;
  const {documents, findings} = loadDocuments([{file: 'p.yaml', text}]);
  expect(findings.filter(({severity}) => severity === 'error')).toEqual([]);
  return documents[0] as PolicyDocument;
}
const POLICIES = [
  policy('a', 'podSelector: {}'),
  policy('b', 'podSelector: {matchLabels: {app: x}}'),
  policy('a', 'podSelector: {matchLabels: {app: y}}, serviceAccounts: [runner]'),
  policy(null, 'podSelector: {}'),
  policy(null, 'podSelector: {}, namespaceSelector: {matchLabels: {team: t}}'),
  policy(null, 'podSelector: {matchLabels: {app: x}}, namespaceSelector: {matchLabels: {team: u}}'),
];

type Step =
  | {readonly kind: 'policy'; readonly id: string; readonly which: number | null}
  | {readonly kind: 'pod'; readonly key: string; readonly pod: RunningPod | null}
  | {readonly kind: 'namespace'; readonly name: string; readonly labels: Record<string, string> | null};

const name = fc.constantFrom('1', '2', '3');
const namespace = fc.constantFrom('a', 'b');
const pods = fc
  .record({
    namespace,
    name,
    app: fc.constantFrom('x', 'y'),
    account: fc.constantFrom('default', 'runner'),
    there: fc.boolean(),
  })
  .map(({namespace, name, app, account, there}): Step => {
    const pod = runningPodOf(name, {labels: {app}});
    const workload = {...pod.workload, namespace, uid: `${namespace}-${name}`, serviceAccount: account};
    return {kind: 'pod', key: `${namespace}/${name}`, pod: there ? {...pod, workload} : null};
  });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('policy' as const),
    id: fc.constantFrom('P', 'Q', 'R'),
    which: fc.option(fc.nat({max: POLICIES.length - 1})),
  }),
  pods,
  fc.record({
    kind: fc.constant('namespace' as const),
    name: namespace,
    labels: fc.option(fc.constantFrom({team: 't'}, {team: 'u'}, {})),
  }),
);

/** As it would be worked out from nothing. */
function naive(steps: readonly Step[]): Map<string, string[]> {
  const policies = new Map<string, PolicyDocument>();
  const running = new Map<string, RunningPod>();
  const labels = new Map<string, Record<string, string>>();
  const put = <T>(map: Map<string, T>, key: string, value: T | null): void =>
    void (value === null ? map.delete(key) : map.set(key, value));
  for (const one of steps)
    if (one.kind === 'policy') put(policies, one.id, one.which === null ? null : POLICIES[one.which]!);
    else if (one.kind === 'pod') put(running, one.key, one.pod);
    else put(labels, one.name, one.labels);
  return new Map(
    [...policies].map(([id, document]) => {
      const selected = [...running].filter(
        ([, {workload}]) =>
          policySelects(document, {...workload, namespaceLabels: labels.get(workload.namespace) ?? null}) !== false,
      );
      return [id, selected.map(([key]) => key).sort()];
    }),
  );
}

const selectedBy = (table: EnforcedTable, id: string): string[] =>
  [...table.podsOf(id)].map(({workload}) => `${workload.namespace}/${workload.name}`).sort();

describe('the table of pods and policies', () => {
  test('knows after any changes what it would know from nothing, and tells each policy whose pods changed', () => {
    fc.assert(
      fc.property(fc.array(step, {maxLength: 30}), (steps) => {
        const table = new EnforcedTable();
        let before = new Map<string, string[]>();
        steps.forEach((one, index) => {
          table.takeTouched();
          if (one.kind === 'policy') table.setPolicy(one.id, one.which === null ? null : POLICIES[one.which]!);
          else if (one.kind === 'pod') table.setPod(one.key, one.pod);
          else table.setNamespace(one.name, one.labels);
          const now = naive(steps.slice(0, index + 1));
          const touched = table.takeTouched();
          for (const [id, keys] of now) {
            expect(selectedBy(table, id)).toEqual(keys);
            if (before.has(id) && before.get(id)!.join() !== keys.join()) expect(touched).toContain(id);
          }
          before = now;
        });
      }),
      {numRuns: 300},
    );
  });

  test('a policy that is gone selects nobody', () => {
    const table = new EnforcedTable();
    table.setPod('a/1', runningPodOf('1'));
    table.setPolicy('P', POLICIES[0]!);
    expect(selectedBy(table, 'P')).toEqual(['a/1']);
    table.setPolicy('P', null);
    expect(selectedBy(table, 'P')).toEqual([]);
  });

  test('a report of a node touches the policies of its pods, and no others', () => {
    const table = new EnforcedTable();
    table.setPod('a/1', runningPodOf('1', {node: 'one'}));
    table.setPolicy('P', POLICIES[0]!);
    table.setPolicy('Q', POLICIES[1]!);
    table.takeTouched();
    table.touchNode('two');
    expect([...table.takeTouched()]).toEqual([]);
    table.touchNode('one');
    expect([...table.takeTouched()]).toEqual(['P']);
  });
});
