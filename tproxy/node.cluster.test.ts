/** `sallyport tproxy` as a node's agent: a real API server says who is there, network namespaces are the pods, curl tries. */
import {createServer} from 'node:net';
import {expect} from '@jest/globals';
import {
  clusterWorld,
  LONG_MS,
  nodeTest,
  OTHER_URL,
  policyOf,
  ready,
  SITE,
  SITE_URL,
  soon,
} from '../test/lab/cluster-world.ts';
import {connectIn, endServer, listenIn} from '../test/lab/sockets.ts';
import {closed, heard, until} from '../test/waiting.ts';

const world = clusterWorld();
const apply = (object: object): void => world.apply(object);
const done = (argv: readonly string[]): void => world.done(argv);
const it = nodeTest();
const WEB = {namespace: 'shop', name: 'web'};

it(
  'a pod that starts gets out where its policy says, and nowhere else; the node is schedulable from when it is ready',
  async () => {
    const n = await world.open();
    apply(policyOf('shop', 'p', SITE));
    const taints = (): string =>
      world.cluster.kubectl(['get', 'node', n.name, '-o', 'jsonpath={.spec.taints[*].key}']).stdout;
    expect(taints()).toContain('sallyport.dev/agent-not-ready');
    const agent = await n.startAgent();
    await ready(agent);
    await agent.logged(({event}) => event === 'node.untainted');
    expect(taints()).not.toContain('sallyport.dev');
    await n.startPod(WEB);
    await soon(() => n.curl('web', OTHER_URL), '403');
    expect(await n.curl('web', SITE_URL)).toBe('200');
  },
  LONG_MS,
);

it(
  'an address that changes is followed, and the one before stays shut while the pod has its interface',
  async () => {
    const n = await world.open();
    apply(policyOf('shop', 'p', SITE));
    const agent = await n.startAgent();
    await ready(agent);
    n.createPod(WEB);
    const {ip4: before, port} = await n.plugIn('web');
    const after = '10.77.0.51';
    for (const [where, ...words] of [
      ['web', 'address', 'add', `${after}/32`, 'dev', 'eth0'],
      ['node', 'route', 'add', after, 'dev', port],
    ] as const)
      expect(await n.lab.exec(where, ['ip', ...words])).toMatchObject({status: 0});
    n.setAddress(WEB, [before]);
    const from = (ip: string, url: string): Promise<string> => n.curl('web', url, ['--interface', ip]);
    await soon(() => from(before, OTHER_URL), '403');
    n.setAddress(WEB, [after]);
    await soon(() => from(after, OTHER_URL), '403');
    expect(await from(after, SITE_URL)).toBe('200');
    // Nobody has that address now: it has no policy, and no way out either.
    await soon(() => from(before, SITE_URL), '403');
  },
  LONG_MS,
);

it(
  'a pod whose object is deleted by force is shut until its interface is gone',
  async () => {
    const n = await world.open();
    apply(policyOf('shop', 'p', SITE));
    const agent = await n.startAgent();
    await ready(agent);
    const {ip4} = await n.startPod(WEB);
    await soon(() => n.curl('web', OTHER_URL), '403');
    done(['delete', 'pod', '-n', 'shop', 'web', '--force', '--grace-period=0']);
    // Its policy is gone with it, its capture is not.
    await soon(() => n.curl('web', SITE_URL), '403');
    const ended = async () => ((await agent.ready()).body['capture'] as {ended: string[]} | undefined)?.ended;
    await until(ended, (ips) => ips?.includes(ip4) === true, {said: agent.said});
    await n.unplug('web');
    await until(ended, (ips) => ips?.length === 0, {said: agent.said});
  },
  LONG_MS,
);

it(
  'a connection ends with its pod, also where another pod has the address at once',
  async () => {
    const n = await world.open();
    apply(policyOf('shop', 'p', SITE));
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello'));
    });
    await n.lab.internet.addAddress('203.0.113.20');
    await listenIn(n.lab.internet.path, server, '203.0.113.20', 80);
    try {
      apply(policyOf('shop', 'q', '203.0.113.20'));
      const agent = await n.startAgent();
      await ready(agent);
      const {ip4, ips, path} = await n.startPod(WEB);
      await soon(() => n.curl('web', OTHER_URL), '403');
      const open = connectIn(path, {ip: '203.0.113.20', port: 80});
      open.write('GET / HTTP/1.1\r\nHost: 203.0.113.20\r\n\r\n');
      expect(await heard(open, (text) => text.endsWith('hello'), {said: agent.said})).toContain('HTTP/1.1 200');
      const heir = {namespace: 'shop', name: 'heir'};
      n.createPod(heir);
      n.setAddress(heir, ips);
      await closed(open, 'the end of the connection, whose pod has its address no more', {said: agent.said});
      const cut = await agent.logged(({event}) => event === 'relay.workload-gone');
      expect(cut['source']).toBe(ip4);
    } finally {
      endServer(server);
    }
  },
  LONG_MS,
);

it(
  'pods that are there before the agent, with nothing in the kernel, are all held by its first transaction',
  async () => {
    const n = await world.open();
    apply(policyOf('shop', 'p', SITE));
    const names = ['web', 'api', 'job'];
    for (const name of names) await n.startPod({namespace: 'shop', name});
    expect(await Promise.all(names.map((name) => n.curl(name, OTHER_URL)))).toEqual(['200', '200', '200']);
    const agent = await n.startAgent();
    const {message} = await agent.logged(({event}) => event === 'capture.started');
    // An IPv4 and an IPv6 address each.
    expect(message).toContain('6 addresses locked');
    expect(await Promise.all(names.map((name) => n.curl(name, OTHER_URL)))).toEqual(['403', '403', '403']);
  },
  LONG_MS,
);

it(
  'a parent’s secret that changes is used from then on, and without it nobody goes around the parent',
  async () => {
    const n = await world.open();
    const heads: string[] = [];
    const parent = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (data: Buffer) => {
        const head = data.toString();
        const credentials = /proxy-authorization: basic (\S+)/i.exec(head)?.[1];
        if (credentials !== undefined) heads.push(credentials);
        if (head.startsWith('CONNECT ')) socket.write('HTTP/1.1 200 OK\r\n\r\n');
        else socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');
      });
    });
    await n.lab.internet.addAddress('203.0.113.30');
    await listenIn(n.lab.internet.path, parent, '203.0.113.30', 3128);
    const last = (): string => Buffer.from(heads.at(-1) ?? '', 'base64').toString();
    const secret = (password: string): void =>
      apply({
        ...{apiVersion: 'v1', kind: 'Secret', metadata: {name: 'corp', namespace: 'shop'}},
        stringData: {username: 'me', password},
      });
    try {
      secret('one');
      apply(policyOf('shop', 'p', SITE));
      apply({
        ...{apiVersion: 'sallyport.dev/v1alpha1', kind: 'UpstreamProxy', metadata: {name: 'corp'}},
        spec: {
          ...{endpoints: [{url: 'http://203.0.113.30:3128'}], hosts: ['*'], resolve: 'Proxy'},
          auth: {secretRef: {namespace: 'shop', name: 'corp'}},
        },
      });
      const agent = await n.startAgent();
      await ready(agent);
      await n.startPod(WEB);
      await soon(() => n.curl('web', OTHER_URL), '403');
      expect([await n.curl('web', SITE_URL), last()]).toEqual(['200', 'me:one']);
      secret('two');
      await soon(async () => (await n.curl('web', SITE_URL)) + last(), '200me:two');
      done(['delete', 'secret', '-n', 'shop', 'corp']);
      await agent.logged(({event}) => event === 'refs.missing');
      await soon(() => n.curl('web', SITE_URL), '502');
    } finally {
      endServer(parent);
    }
  },
  LONG_MS,
);
