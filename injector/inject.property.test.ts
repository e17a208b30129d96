/** What holds for every pod, whatever its author wrote. */
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {arbitraryPod} from './arbitrary-pods.ts';
import {inject} from './inject.ts';
import {patchOf} from './patch.ts';
import {applied} from './patch-applied.ts';
import {containersOf, type Container, type EnvVar, type Namespace, type Pod} from './pod.ts';
import {hasRawSockets} from './raw-sockets.ts';
import {readInstallation} from './settings.ts';

const INSTALLATION = readInstallation('config.yaml', 'cluster: {serviceCidrs: [10.96.0.0/12]}', new Map()).value!;
const NAMESPACE: Namespace = {name: 'default', labels: {}, annotations: {}};
const RUNS = {numRuns: 500};

/** Guards and what a pod may not have are refused or skipped; those that are left are injected. */
function injected(pod: Pod): {pod: Pod; warnings: readonly string[]} {
  const result = inject(pod, NAMESPACE, INSTALLATION);
  if (result.kind !== 'inject') throw new Error(`the pod is not injected: ${JSON.stringify(result)}`);
  return result;
}

const named = (container: Container, name: string): EnvVar | undefined =>
  container.env?.findLast((variable) => variable.name === name);
const SPELLINGS = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'].map((name) => [name, name.toLowerCase()] as const);

describe('every pod', () => {
  test('injected twice is injected once: the patch of a patched pod is empty, and says the same', () => {
    fc.assert(
      fc.property(arbitraryPod, (pod) => {
        const once = injected(pod);
        const twice = injected(once.pod);
        expect(patchOf(once.pod, twice.pod)).toEqual([]);
        expect(twice.warnings).toEqual(once.warnings);
      }),
      RUNS,
    );
  });

  test('becomes by its patch what the injector says', () => {
    fc.assert(
      fc.property(arbitraryPod, (pod) => {
        const {pod: after} = injected(pod);
        expect(applied(pod, patchOf(pod, after))).toEqual(after);
      }),
      RUNS,
    );
  });

  test('keeps all that its author wrote, in the order in which he wrote it', () => {
    fc.assert(
      fc.property(arbitraryPod, (pod) => {
        const before = structuredClone(pod);
        expect(lost(pod, injected(pod).pod, '')).toEqual([]);
        expect(pod).toEqual(before);
      }),
      RUNS,
    );
  });

  test('has its variables in both letter cases, saying the same unless its author said otherwise', () => {
    fc.assert(
      fc.property(arbitraryPod, (pod) => {
        const {pod: after} = injected({
          ...pod,
          metadata: {...pod.metadata, labels: {'sallyport.dev/mode': 'proxy-env'}},
        });
        const {containers} = JSON.parse(after.metadata.annotations!['sallyport.dev/status']!) as {containers: string[]};
        for (const container of containersOf(after).filter(({name}) => containers.includes(name))) {
          const before = containersOf(pod).find(({name}) => name === container.name)!;
          for (const [upper, lower] of SPELLINGS) {
            const wrote = named(before, upper) !== undefined && named(before, lower) !== undefined;
            const {name: _upper, ...one} = named(container, upper) ?? {name: ''};
            const {name: _lower, ...other} = named(container, lower) ?? {name: ''};
            if (!wrote) expect(one).toEqual(other);
          }
        }
      }),
      RUNS,
    );
  });

  test('that is captured has raw sockets in no container, whatever its author names to be skipped', () => {
    fc.assert(
      fc.property(arbitraryPod, (pod) => {
        const {pod: after} = injected({...pod, metadata: {...pod.metadata, labels: {'sallyport.dev/mode': 'tproxy'}}});
        expect(containersOf(after).filter(hasRawSockets)).toEqual([]);
      }),
      RUNS,
    );
  });

  test("has Istio's containers as Istio made them, but for raw sockets where it is captured", () => {
    fc.assert(
      fc.property(arbitraryPod, (pod) => {
        const {pod: after} = injected({...pod, metadata: {...pod.metadata, labels: {'sallyport.dev/mode': 'mesh'}}});
        const istios = (one: Pod): Container[] => containersOf(one).filter(({name}) => name.startsWith('istio-'));
        expect(istios(after)).toEqual(istios(pod));
      }),
      RUNS,
    );
  });
});

/** The paths of what was there and is not: our own status may change, and Java's options may have more behind them. */
function lost(before: unknown, after: unknown, path: string): string[] {
  if (path === '/metadata/annotations/sallyport.dev/status') return [];
  if (typeof before === 'string' && path.endsWith('/JAVA_TOOL_OPTIONS/value'))
    return before === after || String(after).startsWith(before === '' ? '-D' : `${before} -D`) ? [] : [path];
  if (Array.isArray(before)) {
    let next = 0;
    const entries = Array.isArray(after) ? (after as unknown[]) : [];
    return before.flatMap((entry: unknown) => {
      const name = (entry as {name?: string} | null)?.name ?? '';
      const at = entries.findIndex((other, i) => i >= next && lost(entry, other, `${path}/${name}`).length === 0);
      if (at === -1) return [`${path}/${name}`];
      next = at + 1;
      return [];
    });
  }
  if (typeof before === 'object' && before !== null)
    return Object.entries(before).flatMap(([key, value]) =>
      lost(value, (after as Record<string, unknown> | undefined)?.[key], `${path}/${key}`),
    );
  return before === after ? [] : [path];
}
