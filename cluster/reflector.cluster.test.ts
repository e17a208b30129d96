import {afterAll, afterEach, beforeAll, expect} from '@jest/globals';
import {KubeConfig} from '@kubernetes/client-node';
import {startControlPlane, type ControlPlane} from '../test/cluster/control-plane.ts';
import {clusterTest} from '../test/cluster/require.ts';
import {startReflector, type Reflector} from './reflector.ts';
import {found, until} from '../test/waiting.ts';

let cluster: ControlPlane;
beforeAll(async () => {
  cluster = await startControlPlane();
}, 180_000);
afterAll(() => cluster?.stop());

const CONFIG_MAPS = {apiVersion: 'v1', kind: 'ConfigMap', path: '/api/v1/configmaps', labelSelector: 'watched=yes'};
const configMap = (name: string, value: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {name, namespace: 'default', labels: {watched: 'yes'}},
    data: {value},
  });

/** What a reflector told, and a way to wait for something among it. */
class Told {
  readonly lines: string[] = [];

  say(line: string): void {
    this.lines.push(line);
  }

  async until(holds: () => boolean): Promise<void> {
    await found(holds, {said: () => this.lines.slice(-20).join('\n')});
  }

  async saw(line: string): Promise<void> {
    await until(
      () => this.lines.slice(-20),
      () => this.lines.includes(line),
      {what: line},
    );
  }
}

const running: Reflector<unknown>[] = [];
afterEach(() => running.splice(0).forEach((reflector) => reflector.stop()));

function watched(told: Told): Reflector<string> {
  const config = new KubeConfig();
  config.loadFromFile(cluster.kubeconfig);
  const reflector = startReflector<string>({
    config,
    resource: CONFIG_MAPS,
    keep: (object) => (object as {data?: {value?: string}}).data?.value ?? null,
    onChange: (key, now) => told.say(`${key} ${now}`),
    onSynced: () => told.say('synced'),
    onTrouble: (message) => told.say(`trouble ${message}`),
  });
  running.push(reflector);
  return reflector;
}

clusterTest()(
  'what is there is listed, and what changes is followed: added, changed, gone',
  async () => {
    cluster.kubectl(['apply', '-f', '-'], configMap('a', '1'));
    const told = new Told();
    const reflector = watched(told);
    await told.saw('synced');
    expect(told.lines).toEqual(['default/a 1', 'synced']);
    cluster.kubectl(['apply', '-f', '-'], configMap('b', '2'));
    await told.saw('default/b 2');
    cluster.kubectl(['apply', '-f', '-'], configMap('a', '3'));
    await told.saw('default/a 3');
    cluster.kubectl(['delete', 'configmap', 'b']);
    await told.saw('default/b null');
    expect([...reflector.store]).toEqual([['default/a', '3']]);
  },
  60_000,
);

clusterTest()(
  'more than one page is one list',
  async () => {
    const items = Array.from({length: 1_200}, (_, i) => JSON.parse(configMap(`many-${i}`, String(i))) as object);
    const list = JSON.stringify({apiVersion: 'v1', kind: 'List', items});
    expect(cluster.kubectl(['create', '-f', '-'], list).status).toBe(0);
    const told = new Told();
    const reflector = watched(told);
    await told.saw('synced');
    expect([...reflector.store.keys()].filter((key) => key.startsWith('default/many-'))).toHaveLength(1_200);
    cluster.kubectl(['delete', 'configmap', '--all', '--wait=false']);
    await told.until(() => reflector.store.size === 0);
  },
  180_000,
);

clusterTest()(
  'while the API server is away the copy stays; what was missed is made up for when it is back',
  async () => {
    cluster.kubectl(['apply', '-f', '-'], configMap('kept', '1'));
    cluster.kubectl(['apply', '-f', '-'], configMap('lost', '1'));
    const told = new Told();
    const reflector = watched(told);
    await told.saw('synced');
    await cluster.stopApiServer();
    await told.until(() => told.lines.some((line) => line.startsWith('trouble ')));
    expect([...reflector.store.keys()].sort()).toEqual(['default/kept', 'default/lost']);
    await cluster.startApiServer();
    cluster.kubectl(['delete', 'configmap', 'lost']);
    cluster.kubectl(['apply', '-f', '-'], configMap('new', '1'));
    await told.saw('default/lost null');
    await told.saw('default/new 1');
    expect([...reflector.store.keys()].sort()).toEqual(['default/kept', 'default/new']);
  },
  180_000,
);
