/** Beside Istio's injector, in either order: pods as Istio leaves them, of both kinds of sidecar (testdata/istio-*.yaml). */
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, test} from '@jest/globals';
import {parse} from 'yaml';
import {inject} from './inject.ts';
import {patchOf} from './patch.ts';
import {containersOf, type Container, type Namespace, type Pod} from './pod.ts';
import {readInstallation} from './settings.ts';

const FOLDER = join(import.meta.dirname, 'testdata');
const KINDS = readdirSync(FOLDER).filter((name) => /^istio-.*(?<!\.injected)\.yaml$/.test(name));
const INSTALLATION = readInstallation(
  'config.yaml',
  'httpProxyEnvs: {httpProxy: "http://squid:3128"}',
  new Map(),
).value!;
const NAMESPACE: Namespace = {name: 'app', labels: {}, annotations: {}};
const MODES = ['proxy-env', 'mesh'] as const;

const isIstios = ({name}: {readonly name: string}): boolean => name.startsWith('istio-');
const injectedByIstio = (file: string, mode: string): Pod => {
  const pod = parse(readFileSync(join(FOLDER, file), 'utf8')) as Pod;
  pod.metadata.labels = {...pod.metadata.labels, 'sallyport.dev/mode': mode};
  return pod;
};

/** The pod before Istio. */
function without(pod: Pod): Pod {
  const {initContainers = [], containers} = pod.spec;
  const rest = initContainers.filter((container) => !isIstios(container));
  return {
    ...pod,
    metadata: {name: 'app', labels: {app: 'app', 'sallyport.dev/mode': pod.metadata.labels!['sallyport.dev/mode']!}},
    spec: {
      containers: containers.filter((container) => !isIstios(container)),
      ...(rest.length === 0 ? {} : {initContainers: rest}),
    },
  };
}

/** What Istio makes of a pod that is as `from` was: its containers where it puts them, its volumes, its words. */
function istio(pod: Pod, from: Pod): Pod {
  const around = (own: readonly Container[], its: readonly Container[]): Container[] => {
    const first = its.findIndex((container) => !isIstios(container));
    const added = its.filter(isIstios);
    return first === 0 ? [...own, ...added] : [...added, ...own];
  };
  const {containers, initContainers, volumes, ...spec} = pod.spec;
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      labels: {...pod.metadata.labels, ...from.metadata.labels},
      annotations: {...pod.metadata.annotations, ...from.metadata.annotations},
    },
    spec: {
      ...spec,
      containers: around(containers, from.spec.containers),
      initContainers: around(initContainers ?? [], from.spec.initContainers ?? []),
      volumes: [...(from.spec.volumes ?? []), ...(volumes ?? [])],
    },
  };
}

function injected(pod: Pod): Pod {
  const result = inject(pod, NAMESPACE, INSTALLATION);
  if (result.kind !== 'inject') throw new Error(JSON.stringify(result));
  return result.pod;
}

const byName = (pod: Pod): Record<string, Container> =>
  Object.fromEntries(containersOf(pod).map((container) => [container.name, container]));

describe.each(KINDS)('%s', (file) => {
  describe.each(MODES)('mode %s', (mode) => {
    const itsFirst = injectedByIstio(file, mode);

    test("Istio's containers are left as they are, and every other one is told of the proxy", () => {
      const after = injected(itsFirst);
      for (const [name, container] of Object.entries(byName(after))) {
        if (isIstios({name})) expect(container).toEqual(byName(itsFirst)[name]);
        else expect(container.env).toContainEqual({name: 'https_proxy', value: 'http://squid:3128'});
      }
      expect(containersOf(after).map(({name}) => name)).toEqual(containersOf(itsFirst).map(({name}) => name));
    });

    test('before Istio or after it, a container is the same in the end', () => {
      const ours = injected(without(itsFirst));
      const ourFirst = istio(ours, itsFirst);
      // The API server asks again, since Istio changed the pod (reinvocationPolicy: IfNeeded).
      const again = injected(ourFirst);
      expect(patchOf(byName(ourFirst), byName(again))).toEqual([]);
      expect(byName(again)).toEqual(byName(injected(itsFirst)));
      expect(new Set(again.spec.volumes!.map(({name}) => name))).toEqual(
        new Set(injected(itsFirst).spec.volumes!.map(({name}) => name)),
      );
    });
  });
});

test('there are pods of both kinds of sidecar', () => {
  const places = KINDS.map((file) => {
    const {spec} = injectedByIstio(file, 'mesh');
    return spec.containers.some(({name}) => name === 'istio-proxy') ? 'container' : 'native sidecar';
  });
  expect(new Set(places)).toEqual(new Set(['container', 'native sidecar']));
});
