import {readdirSync} from 'node:fs';
import {createServer, type Socket} from 'node:net';
import {fileURLToPath} from 'node:url';
import {afterEach, describe, expect, test} from '@jest/globals';
import {
  createRig,
  datagram,
  eventually,
  firstLine,
  greeter,
  lineOf,
  RESOLVER,
  udpEcho,
  WEB,
  type Rig,
  type RigOptions,
} from '../../test/lab/capture-rig.ts';
import {BRIDGE, connectIn, labTests} from '../../test/lab/index.ts';
import {connectTransparent, fdOf, listenTransparent, originalDestination} from './sockets.ts';

const labTest = labTests(test);

const FAMILIES = [{family: 4 as const}, {family: 6 as const}];
let rig: Rig;
const start = async (options: Partial<RigOptions> = {}): Promise<void> => {
  rig = await createRig({pods: [{name: 'locked'}, {name: 'other'}, {name: 'free'}], ...options});
};
const ipOf = (pod: string, family: 4 | 6): string => (family === 4 ? rig.lab.pod(pod).ip4 : rig.lab.pod(pod).ip6);
const nft = async (text: string): Promise<void> => {
  const applied = await rig.lab.exec('node', ['nft', '-f', '-'], {stdin: text});
  expect(applied.stderr).toBe('');
};
/** From the node, in the locked pod's name. */
const dial = (family: 4 | 6, ip: string, port: number): Socket =>
  rig.lab.inside('node', () =>
    connectTransparent({source: {ip: ipOf('locked', family), port: 40000}, destination: {ip, port}}),
  );
/** Greeted by that address, and two-way. */
async function expectSeenAs(client: Socket, source: string): Promise<void> {
  expect(await lineOf(client)).toBe(`hello ${source}`);
  const answer = lineOf(client);
  client.write('and back\n');
  expect(await answer).toBe('and back');
  client.destroy();
}
afterEach(() => rig?.close());

describe.each(FAMILIES)('a dial with the pod’s own address, IPv$family', ({family}) => {
  labTest('the server sees the pod, and its replies reach our socket', async () => {
    await start();
    const server = await greeter(rig.lab.internet.path, WEB[family], 443);
    const client = dial(family, WEB[family], 443);
    await expectSeenAs(client, ipOf('locked', family));
    server.close();
  });

  labTest('a server on the node itself, whose reply would leave for the pod', async () => {
    await start();
    const node = rig.lab.node.ips[family === 4 ? 0 : 1]!;
    const server = await greeter(rig.lab.node.path, node, 10250);
    await expectSeenAs(dial(family, node, 10250), ipOf('locked', family));
    server.close();
  });

  labTest.each([{bridge: false}, {bridge: true}])(
    'another locked pod, bridge $bridge: its reply is ours, not the pod’s',
    async ({bridge}) => {
      await start({
        bridge,
        members: (lab) =>
          [...lab.pods.values()].flatMap((pod) =>
            pod.ips.map((ip) => ({ip, interface: pod.port, mode: 'locked', uid: pod.name})),
          ),
      });
      const server = await greeter(rig.lab.pod('other').path, ipOf('other', family), 8080);
      await expectSeenAs(dial(family, ipOf('other', family), 8080), ipOf('locked', family));
      server.close();
    },
  );

  labTest('through a Service: translated on the way out, and the reply finds our socket', async () => {
    await start();
    const service = family === 4 ? '10.96.0.10' : 'fd96::10';
    const ip = family === 4 ? 'ip' : 'ip6';
    await nft(`table ${ip} kube {
      chain output { type nat hook output priority -100; ${ip} daddr ${service} tcp dport 80 dnat to ${family === 4 ? `${ipOf('other', 4)}:8080` : `[${ipOf('other', 6)}]:8080`}
      }
    }`);
    const server = await greeter(rig.lab.pod('other').path, ipOf('other', family), 8080);
    await expectSeenAs(dial(family, service, 80), ipOf('locked', family));
    server.close();
  });

  labTest('where the CNI masquerades, the server sees the node, and the reply still finds our socket', async () => {
    await start();
    await nft(`table inet cni {
      chain postrouting { type nat hook postrouting priority srcnat; oifname "uplink" masquerade
      }
    }`);
    const server = await greeter(rig.lab.internet.path, WEB[family], 443);
    const client = dial(family, WEB[family], 443);
    await expectSeenAs(client, family === 4 ? '10.79.0.2' : 'fd79::2');
    server.close();
  });

  labTest(
    'a port that the pod’s own captured connection has is not dialled from, which would mix the two up',
    async () => {
      await start();
      const server = await greeter(rig.lab.internet.path, WEB[family], 443);
      const captured = connectIn(rig.lab.pod('locked').path, {ip: WEB[family], port: 443});
      expect(await lineOf(captured)).toBe(`taken ${WEB[family]}:443`);
      // The kernel picks ports by one counter for all namespaces; only a wrapped one meets a connection that still lives.
      await rig.lab.exec('node', [
        'sysctl',
        '-w',
        `net.ipv4.ip_local_port_range=${captured.localPort} ${captured.localPort}`,
      ]);
      const dialled = dial(family, WEB[family], 443);
      dialled.on('error', () => undefined);
      await eventually(async () => (await rig.counter('dial_collisions')) > 0);
      dialled.destroy();
      const answer = lineOf(captured);
      captured.write('undisturbed\n');
      expect(await answer).toBe('undisturbed');
      expect(server.seen).toEqual([]);
      captured.destroy();
      server.close();
    },
  );

  labTest('a refused dial is an error event, as of net.connect', async () => {
    await start();
    expect(await lineOf(dial(family, WEB[family], 9))).toBe('ECONNREFUSED');
  });
});

describe.each(FAMILIES)('the original destination, IPv$family', ({family}) => {
  labTest('is the ClusterIP, not the endpoint that kube-proxy would have picked', async () => {
    await start();
    const service = family === 4 ? '10.96.0.10' : 'fd96::10';
    const ip = family === 4 ? 'ip' : 'ip6';
    await nft(`table ${ip} kube {
      chain prerouting { type nat hook prerouting priority dstnat; ${ip} daddr ${service} tcp dport 80 dnat to ${family === 4 ? `${ipOf('other', 4)}:8080` : `[${ipOf('other', 6)}]:8080`}
      }
    }`);
    expect(await firstLine(rig.lab.pod('locked').path, service, 80)).toBe(`taken ${service}:80`);
    // The control: for a pod that is not ours, kube-proxy's rule does its work.
    const server = await greeter(rig.lab.pod('other').path, ipOf('other', family), 8080);
    expect(await firstLine(rig.lab.pod('free').path, service, 80)).toBe(`hello ${ipOf('free', family)}`);
    server.close();
  });

  labTest.each([
    {layout: 'routed', bridge: false, bridgeNetfilter: false},
    {layout: 'bridged', bridge: true, bridgeNetfilter: false},
    {layout: 'bridged with br_netfilter', bridge: true, bridgeNetfilter: true},
  ])('is kept by conntrack under REDIRECT, $layout; the lock holds', async ({bridge, bridgeNetfilter}) => {
    await start({
      bridge,
      bridgeNetfilter,
      config: {intercept: 'redirect'},
      members: (lab) =>
        lab.pod('locked').ips.map((ip) => ({ip, interface: lab.pod('locked').port, mode: 'locked', uid: ''})),
    });
    await rig.stopListening();
    const server = createServer((socket) =>
      socket.end(`${JSON.stringify(originalDestination(fdOf(socket)!, family))}\n`),
    );
    server.listen({
      fd: rig.lab.inside('node', () =>
        listenTransparent({
          ip: family === 4 ? '0.0.0.0' : '::',
          port: 15080,
          transparent: false,
          reusePort: true,
          backlog: 16,
        }),
      ),
    });
    expect(await firstLine(rig.lab.pod('locked').path, WEB[family], 443)).toBe(`{"ip":"${WEB[family]}","port":443}`);
    // A neighbour too.
    const other = await greeter(rig.lab.pod('other').path, ipOf('other', family), 8080);
    expect(await firstLine(rig.lab.pod('locked').path, ipOf('other', family), 8080)).toBe(
      `{"ip":"${ipOf('other', family)}","port":8080}`,
    );
    const echo = await udpEcho(rig.lab.internet.path, WEB[family], 443);
    const refused = await datagram(rig.lab.pod('locked').path, ipOf('locked', family), {ip: WEB[family], port: 443});
    expect(refused).toBe(family === 4 ? 'EHOSTUNREACH' : 'EACCES');
    expect([other.seen, echo.seen]).toEqual([[], []]);
    server.close();
    other.close();
    echo.close();
  });
});

describe.each([{intercept: 'tproxy' as const}, {intercept: 'redirect' as const}])(
  'the explicit port, $intercept',
  ({intercept}) => {
    labTest.each(FAMILIES)(
      'is this node’s, IPv$family, also where a Service claims node and port for itself',
      async ({family}) => {
        await start({config: {intercept}});
        const node = rig.lab.node.ips[family === 4 ? 0 : 1]!;
        const ip = family === 4 ? 'ip' : 'ip6';
        // What anybody who may write a Service with externalIPs can have kube-proxy do (CVE-2020-8554).
        await nft(`table ${ip} kube {
      chain prerouting { type nat hook prerouting priority dstnat; ${ip} daddr ${node} tcp dport 15081 dnat to ${family === 4 ? `${WEB[4]}:443` : `[${WEB[6]}]:443`}
      }
    }`);
        const outside = await greeter(rig.lab.internet.path, WEB[family], 443);
        const explicit = await greeter(rig.lab.node.path, node, 15081);
        expect(await firstLine(rig.lab.pod('free').path, node, 15081)).toBe(`hello ${ipOf('free', family)}`);
        expect(outside.seen).toEqual([ipOf('free', family)]);
        expect(await firstLine(rig.lab.pod('locked').path, node, 15081)).toBe(`hello ${ipOf('locked', family)}`);
        expect(explicit.seen).toEqual([ipOf('locked', family)]);
        expect(outside.seen).toHaveLength(1);
        outside.close();
        explicit.close();
      },
    );
  },
);

describe('a bridge and br_netfilter', () => {
  labTest('TPROXY is refused at start, with what to do: the kernel would lose the socket on the way', async () => {
    await expect(start({bridge: true, bridgeNetfilter: true})).rejects.toMatchObject({
      code: 'BridgeNetfilter',
      message: expect.stringContaining(BRIDGE.interface),
      fix: expect.stringContaining('redirect'),
    });
  });
});

describe('a Service whose endpoint is on the same bridge, with br_netfilter', () => {
  /** What kube-proxy does, for the cluster's name server and for another Service. */
  const SERVICES = {resolver: RESOLVER[4], other: '10.96.0.99'};
  const bridged = async (): Promise<void> => {
    await start({
      ...{bridge: true, bridgeNetfilter: true, config: {intercept: 'redirect'}},
      members: (lab) =>
        lab.pod('locked').ips.map((ip) => ({ip, interface: lab.pod('locked').port, mode: 'locked', uid: ''})),
    });
    const rules = Object.values(SERVICES).map((ip) => `ip daddr ${ip} udp dport 53 dnat to ${ipOf('other', 4)}:53;`);
    await nft(`table ip kube {
      chain prerouting { type nat hook prerouting priority dstnat; ${rules.join(' ')}
      }
    }`);
  };

  labTest('is reached where the lock lets pass: the resolver; another one is not', async () => {
    await bridged();
    const nameServer = await udpEcho(rig.lab.pod('other').path, ipOf('other', 4), 53);
    const ask = (from: string, ip: string): Promise<string> =>
      datagram(rig.lab.pod(from).path, ipOf(from, 4), {ip, port: 53});
    // The control: both are Services for a pod that is not ours.
    expect([await ask('free', SERVICES.resolver), await ask('free', SERVICES.other)]).toEqual([
      'answered hello',
      'answered hello',
    ]);
    expect(await ask('locked', SERVICES.resolver)).toBe('answered hello');
    expect(await ask('locked', SERVICES.other)).toBe('EHOSTUNREACH');
    expect(nameServer.seen).toHaveLength(3);
    nameServer.close();
  });
});

describe('the reviewed rulesets', () => {
  labTest('are what nft accepts', async () => {
    await start();
    const folder = new URL('./testdata/', import.meta.url);
    // What is there belongs to the guard's owner, and nobody else may say how it should be.
    await rig.capture.release();
    for (const file of readdirSync(folder))
      expect((await rig.lab.exec('node', ['nft', '-c', '-f', fileURLToPath(new URL(file, folder))])).stderr).toBe('');
  });
});

describe('without CAP_NET_ADMIN', () => {
  labTest('the listener says which capability and how to give it', async () => {
    await start();
    const script = `
      const {listenTransparent} = await import(${JSON.stringify(new URL('./sockets.ts', import.meta.url).href)});
      try { listenTransparent({ip: '0.0.0.0', port: 15999, transparent: true, reusePort: true, backlog: 1}); }
      catch (error) { console.log(error.describe()); }`;
    const said = await rig.lab.exec('node', [
      'setpriv',
      '--bounding-set=-net_admin,-net_raw',
      '--inh-caps=-net_admin,-net_raw',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ]);
    expect(said.stdout).toContain('MissingCapability: Capturing traffic needs CAP_NET_ADMIN');
    expect(said.stdout).toContain('securityContext.capabilities.add: [NET_ADMIN]');
  });

  labTest('so does nft', async () => {
    await start();
    const script = `
      const {createCapture} = await import(${JSON.stringify(new URL('./apply.ts', import.meta.url).href)});
      const {DEFAULT_MARKS} = await import(${JSON.stringify(new URL('./marks.ts', import.meta.url).href)});
      const config = {intercept: 'redirect', capturedPort: 15080, explicitPort: null, closedPorts: [], resolvers: [], nodeCidrs: [], nat64Prefixes: [], podInterfaces: [], lockPodAddresses: false, meshDestinations: [], marks: DEFAULT_MARKS, routeTable: 15080, rulePriority: 10};
      await createCapture({config, onNotice() {}}).start([]).catch((error) => console.log(error.describe()));`;
    const said = await rig.lab.exec('node', [
      'setpriv',
      '--bounding-set=-net_admin,-net_raw',
      '--inh-caps=-net_admin,-net_raw',
      process.execPath,
      '--input-type=module',
      '-e',
      script,
    ]);
    expect(said.stdout).toContain('MissingCapability: Capturing traffic needs CAP_NET_ADMIN');
  });

  labTest('a port in use is said with how to find who holds it', async () => {
    await start();
    const twice = (): number =>
      rig.lab.inside('node', () =>
        listenTransparent({ip: '0.0.0.0', port: 15080, transparent: true, reusePort: false, backlog: 1}),
      );
    expect(twice).toThrow(expect.objectContaining({code: 'PortInUse', fix: expect.stringContaining('sport = :15080')}));
  });
});
