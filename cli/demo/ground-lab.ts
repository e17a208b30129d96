/** The tour with root: two pods, a node and an internet as network namespaces, without a route to the real network. */
import type {ChildProcess} from 'node:child_process';
import {chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync, existsSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {createLab, connectIn, listenIn, udpIn, type Lab} from '../../test/lab/index.ts';
import {answerQuery} from './dns.ts';
import {makeFolder} from './folder.ts';
import type {Ground} from './ground.ts';
import {STAND_INS, standInServer} from './internet.ts';
import {publicCa} from './public-ca.ts';
import {listening, tproxyCommand} from './proxy-process.ts';
import {accepts, ended, squidConfig} from './squid.ts';

const RESOLVER = '9.9.9.9';
const SQUID = {ip: '198.51.100.28', port: 3128};

export async function labGround(colours: boolean): Promise<Ground> {
  const dir = makeFolder();
  let lab: Lab;
  try {
    lab = await createLab({name: 'demo', pods: [{name: 'free'}, {name: 'locked'}]});
  } catch (error) {
    rmSync(dir, {recursive: true, force: true});
    throw error;
  }
  const ca = publicCa(join(dir, 'public-ca'));
  const caDir = join(dir, 'ca');
  const servers: {close(): void}[] = [];
  await lab.internet.addAddress(RESOLVER, SQUID.ip, ...STAND_INS.map((site) => site.ip));
  for (const site of STAND_INS) {
    for (const {port, scheme} of site.ports) {
      const server = standInServer(site.host, scheme, ca.leaves);
      await listenIn(lab.internet.path, server, site.ip, port);
      servers.push(server);
    }
  }
  const dns = await udpIn(lab.internet.path, RESOLVER, 53);
  dns.on('message', (query, from) => {
    const answer = answerQuery(query, (name) => STAND_INS.find((site) => site.host === name)?.ip);
    if (answer !== null) dns.send(answer, from.port, from.address);
  });
  servers.push(dns);
  for (const where of ['free', 'locked', 'node', 'internet']) lab.setResolver(where, RESOLVER);
  const locked = lab.pod('locked');
  writeFileSync(
    join(dir, 'workloads.yaml'),
    stringify([
      {
        ips: locked.ips,
        interface: locked.interface,
        namespace: 'default',
        name: 'debian-app',
        labels: {app: 'debian-app'},
        trustsCa: true,
      },
    ]),
  );

  let closed = false;
  let squid: ChildProcess | null = null;
  return {
    introduction: [
      `namespaces: ${lab.pod('free').name} and ${locked.name} (pods), ${lab.node.name} (node), ${lab.internet.name}; files: ${dir}`,
    ],
    captures: true,
    dir,
    via: null,
    prompt: (pod) =>
      `ip netns exec ${lab.pod(pod).name}${pod === 'locked' ? ` env CURL_CA_BUNDLE=${caDir}/bundle.pem` : ''}`,
    run: (pod, argv, trust) =>
      // The variable is one of those that the injector sets in pods.
      lab.exec(pod, argv, {env: {CURL_CA_BUNDLE: trust === 'public' ? ca.bundle : join(caDir, 'bundle.pem')}}),
    async startProxy(onLine) {
      const flags = [
        ...[
          '--policy',
          join(dir, 'policies'),
          '--workloads',
          join(dir, 'workloads.yaml'),
          '--filters',
          join(dir, 'filters'),
          '--ca-dir',
          caDir,
        ],
        ...['--upstream-ca', ca.bundle, '--capture', 'node', '--resolver', RESOLVER, '--log-format', 'text'],
      ];
      const child = lab.spawn('node', tproxyCommand(flags), {env: colours ? {FORCE_COLOR: '1'} : {}});
      await listening(child, onLine);
    },
    async startSquid() {
      const binary = '/usr/sbin/squid';
      if (!existsSync(binary)) return {missing: 'squid is not installed (Debian: apt-get install squid-openssl)'};
      const home = join(dir, 'squid');
      mkdirSync(home);
      // squid gives up root for the user proxy before it opens its logs.
      chmodSync(home, 0o777);
      chmodSync(dir, 0o711);
      const config = join(home, 'squid.conf');
      writeFileSync(config, squidConfig(home, String(SQUID.port), RESOLVER));
      const child = (squid = lab.spawn('internet', [binary, '-N', '-f', config], {
        stdio: ['ignore', 'ignore', 'ignore'],
      }));
      if (!(await accepts(child, () => connectIn(lab.node.path, SQUID))))
        return {missing: `squid did not start; see ${home}/cache.log`};
      // The access log tells of a tunnel when it is closed; this one, with the requests turned on, when it is opened.
      const log = join(home, 'cache.log');
      return {url: `http://${SQUID.ip}:${SQUID.port}`, log: () => (existsSync(log) ? readFileSync(log, 'utf8') : '')};
    },
    async close() {
      if (closed) return;
      closed = true;
      for (const server of servers) server.close();
      if (squid !== null) await ended(squid);
      await lab.close();
      rmSync(dir, {recursive: true, force: true});
    },
  };
}
