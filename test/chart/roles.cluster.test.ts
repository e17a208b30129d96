/** The chart starts the roles that are there: flags, environment and files are read by the roles' own code. */
import {isDeepStrictEqual} from 'node:util';
import {describe, expect} from '@jest/globals';
import {CONTROLLER_FLAGS, controllerConfig} from '../../cluster/controller/flags.ts';
import {EXTAUTHZ_FLAGS, extauthzSettings} from '../../extauthz/settings.ts';
import {INJECTOR_FLAGS, injectorConfig} from '../../injector/flags.ts';
import {readInstallation, type Installation} from '../../injector/settings.ts';
import type {FlagTable} from '../../runtime/flags.ts';
import {PORTS} from '../../runtime/names.ts';
import {TPROXY_FLAGS, tproxySettings} from '../../tproxy/settings.ts';
import {clusterTest} from '../cluster/require.ts';
import {EVERYTHING, find, rendered, type Rendered} from './helm.ts';

interface Role {
  readonly kind: 'DaemonSet' | 'Deployment';
  readonly object: string;
  readonly command: string;
  readonly flags: FlagTable;
  readonly read: (argv: readonly string[], env: NodeJS.ProcessEnv, isTerminal: boolean) => unknown;
}

const ROLES: readonly Role[] = [
  {kind: 'DaemonSet', object: 'sallyport-node', command: 'tproxy', flags: TPROXY_FLAGS, read: tproxySettings},
  {kind: 'Deployment', object: 'sallyport-injector', command: 'injector', flags: INJECTOR_FLAGS, read: injectorConfig},
  {
    ...{kind: 'Deployment', object: 'sallyport-controller', command: 'controller', flags: CONTROLLER_FLAGS},
    read: controllerConfig,
  },
  {
    kind: 'Deployment',
    object: 'sallyport-extauthz',
    command: 'extauthz',
    flags: EXTAUTHZ_FLAGS,
    read: extauthzSettings,
  },
];

/** With every flag that the templates know. */
const ALL_FLAGS = {
  ...EVERYTHING,
  cluster: {...EVERYTHING.cluster, nat64Prefixes: ['2001:db8:64::/96']},
  node: {
    workers: 2,
    posture: 'all',
    exemptNamespaces: ['infra'],
    podInterfaces: ['cali*'],
    meshDestinations: ['10.244.0.0/16', '10.233.0.0/16:15012'],
    resolver: '10.233.0.10:5353',
    searchDomains: ['corp.example'],
    upstreamCa: {configMap: 'corp-ca'},
    filters: {configMap: 'filters'},
  },
  controller: {extraCa: {configMap: 'corp-ca'}},
  extauthz: {
    ...EVERYTHING.extauthz,
    hops: ['spiffe://cluster.local/ns/istio-system/sa/gateway'],
    resolver: '10.233.0.10',
    searchDomains: ['corp.example'],
    filters: {configMap: 'filters'},
  },
};

interface Container {
  readonly args: readonly string[];
  readonly env?: readonly {readonly name: string; readonly value?: string; readonly valueFrom?: object}[];
}

const containerOf = (object: Rendered): Container => object['spec'].template.spec.containers[0] as Container;

/** What the kubelet makes of `env`: a field of the pod gets some value. */
function environmentOf({env = []}: Container): NodeJS.ProcessEnv {
  const inPod = {KUBERNETES_SERVICE_HOST: '10.233.0.1', KUBERNETES_SERVICE_PORT: '443'};
  return {...inPod, ...Object.fromEntries(env.map(({name, value}) => [name, value ?? 'from-a-field']))};
}

describe.each(ROLES)('sallyport $command', ({kind, object, command, flags, read}) => {
  clusterTest('helm')('knows every flag and variable that it is started with', () => {
    for (const values of [{extauthz: EVERYTHING.extauthz}, ALL_FLAGS]) {
      const container = containerOf(find(rendered(values), kind, object));
      const [role, ...argv] = container.args;
      expect(role).toBe(command);
      const unknown = argv.map((arg) => /^--([^=]+)/.exec(arg)?.[1] ?? arg).filter((flag) => !(flag in flags));
      expect(unknown).toEqual([]);
      const variables = Object.keys(flags).map((flag) => `SALLYPORT_${flag.toUpperCase().replaceAll('-', '_')}`);
      const ours = (container.env ?? []).map(({name}) => name).filter((name) => name.startsWith('SALLYPORT_'));
      expect(ours.filter((name) => !variables.includes(name))).toEqual([]);
      expect(() => read(argv, environmentOf(container), false)).not.toThrow();
    }
  });
});

describe('the injector', () => {
  const installationOf = (values: object): Installation => {
    const text = find(rendered(values), 'ConfigMap', 'sallyport-injector')['data']['config.yaml'] as string;
    const {value, findings} = readInstallation('config.yaml', text, new Map());
    expect(findings).toEqual([]);
    return value!;
  };

  clusterTest('helm')('reads its configuration, and our namespace is the release’s', () => {
    expect(installationOf({}).namespace).toBe('sallyport');
  });

  clusterTest('helm')('gets from the values what it is to know', () => {
    const httpProxyEnvs = {httpProxy: 'http://squid.corp.example:3128', noProxy: '.corp.example'};
    const {cluster, proxy, namespaces, guard} = installationOf({
      ...{image: {registry: 'registry.corp.example', tag: 'v7'}, cluster: EVERYTHING.cluster},
      injector: {
        ...{httpProxyEnvs, namespaces: {a: {httpProxyEnvs: {upstreamProxy: 'Node'}}}},
        guard: {timeoutSeconds: 9, resources: {limits: {memory: '99Mi'}}},
      },
    });
    expect(cluster).toMatchObject(EVERYTHING.cluster);
    expect(proxy).toMatchObject({noProxy: ['.corp.example'], proxy: {kind: 'urls'}});
    expect(namespaces.get('a')).toMatchObject({proxy: {kind: 'node'}});
    expect(guard).toMatchObject({image: 'registry.corp.example/sallyport:v7', timeoutSeconds: 9});
    expect(guard.resources).toMatchObject({limits: {memory: '99Mi'}});
  });

  clusterTest('helm')('gives pods that capture themselves what the values say', () => {
    const podCapture = {policies: 'egress', resources: {requests: {cpu: '70m'}, limits: {memory: '700Mi'}}};
    expect(installationOf({injector: {podCapture}}).podCapture).toMatchObject(podCapture);
    expect(installationOf({}).podCapture).toEqual({
      ...readInstallation('defaults', '', new Map()).value!.podCapture,
      image: find(rendered({}), 'DaemonSet', 'sallyport-node')['spec'].template.spec.containers[0].image as string,
    });
  });

  clusterTest('helm')('is told of mTLS what the agents are told', () => {
    const mtls = {mode: 'Strict', cidrs: ['10.0.0.0/8=Permissive'], trustDomain: 'corp.example'};
    expect(installationOf({mtls: {enabled: true, ...mtls}})).toMatchObject({mtls: true, podCapture: {mtls}});
    const {podCapture, cluster} = installationOf({mtls: {enabled: true}});
    expect(podCapture.mtls).toEqual({mode: 'Off', cidrs: [], trustDomain: cluster.domain});
  });

  clusterTest('helm')('writes into HTTP_PROXY the port that the agents listen at', () => {
    expect(installationOf({}).explicitPort).toBe(PORTS.explicit);
    expect(installationOf({node: {ports: {explicit: 15_091}}}).explicitPort).toBe(15_091);
  });
});

describe('ports', () => {
  clusterTest('helm')('are those that the rest of the program means', () => {
    const objects = rendered(EVERYTHING);
    const numbers = (kind: string, name: string): Record<string, number> => {
      const ports = find(objects, kind, name)['spec'].template.spec.containers[0].ports as {
        name: string;
        containerPort: number;
      }[];
      return Object.fromEntries(ports.map(({name: of, containerPort}) => [of, containerPort]));
    };
    const {captured, explicit, admin, injector, extauthz, mtls, issuer} = PORTS;
    expect(numbers('DaemonSet', 'sallyport-node')).toEqual({captured, explicit, admin, mtls});
    expect(numbers('Deployment', 'sallyport-injector')).toEqual({https: injector, admin});
    expect(numbers('Deployment', 'sallyport-controller')).toEqual({admin, issuer});
    expect(numbers('Deployment', 'sallyport-extauthz')).toEqual({grpc: extauthz, admin});
  });

  clusterTest('helm')('that a Service leads to are ports of its pods', () => {
    const objects = rendered(EVERYTHING);
    const services = objects.filter(({kind}) => kind === 'Service');
    expect(services.length).toBe(5);
    for (const {spec} of services) {
      // The issuer's Service is of the controller's pods: by labels, as the cluster does it.
      const workload = objects.find(
        (object) =>
          /Set|Deployment/.test(object.kind) &&
          isDeepStrictEqual(
            {...object['spec'].template.metadata.labels, ...spec.selector},
            {
              ...object['spec'].template.metadata.labels,
            },
          ),
      )!;
      const names = (workload['spec'].template.spec.containers[0].ports as {name: string}[]).map(({name}) => name);
      for (const {targetPort} of spec.ports) expect(names).toContain(targetPort);
    }
  });
});
