/** The tour without root: one client on loopback that is told of the proxy, and a parent that knows the stand-ins. */
import {execFile, spawn, type ChildProcess} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {connect, type AddressInfo, type Server} from 'node:net';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {upstreamProxy} from './documents.ts';
import {makeFolder} from './folder.ts';
import type {Ground} from './ground.ts';
import {gateway, STAND_INS, standInServer} from './internet.ts';
import {publicCa} from './public-ca.ts';
import {listening, tproxyCommand} from './proxy-process.ts';
import {accepts, squidConfig} from './squid.ts';

/** The way out: names are the parent's to look up, since no resolver here knows them. */
const GATEWAY = 'internet';

export async function loopbackGround(colours: boolean): Promise<Ground> {
  const dir = makeFolder();
  const caDir = join(dir, 'ca');
  const ca = publicCa(join(dir, 'public-ca'));
  const servers: Server[] = [];
  const ports = new Map<string, number>();
  for (const site of STAND_INS) {
    for (const {port, scheme} of site.ports) {
      const server = standInServer(site.host, scheme, ca.leaves);
      servers.push(server);
      ports.set(`${site.host}:${port}`, await listen(server));
    }
  }
  const parent = gateway((host, port) => ports.get(`${host}:${port}`));
  servers.push(parent);
  const parentPort = await listen(parent);
  const [explicit, admin] = [await freePort(), await freePort()];
  mkdirSync(join(dir, 'policies'));
  writeFileSync(
    join(dir, 'policies', 'gateway.yaml'),
    upstreamProxy(GATEWAY, `http://127.0.0.1:${parentPort}`, 'Proxy'),
  );
  writeFileSync(
    join(dir, 'workloads.yaml'),
    stringify([
      {ips: ['127.0.0.1'], namespace: 'default', name: 'debian-app', labels: {app: 'debian-app'}, trustsCa: true},
    ]),
  );

  let proxy: ChildProcess | null = null;
  let closed = false;
  const proxyUrl = `http://127.0.0.1:${explicit}`;
  return {
    introduction: [`the client is told: HTTPS_PROXY=${proxyUrl}; files: ${dir}`],
    captures: false,
    dir,
    via: GATEWAY,
    prompt: () => `env https_proxy=${proxyUrl} http_proxy=${proxyUrl} CURL_CA_BUNDLE=${caDir}/bundle.pem`,
    run: (_pod, argv, trust) =>
      new Promise((resolve) => {
        const env = {
          PATH: process.env.PATH,
          https_proxy: proxyUrl,
          http_proxy: proxyUrl,
          CURL_CA_BUNDLE: trust === 'public' ? ca.bundle : join(caDir, 'bundle.pem'),
        };
        const child = execFile(argv[0]!, argv.slice(1), {env}, (error, stdout, stderr) =>
          resolve({status: error === null ? 0 : typeof error.code === 'number' ? error.code : null, stdout, stderr}),
        );
        child.stdin?.end();
      }),
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
          '--upstream-ca',
          ca.bundle,
        ],
        ...[
          '--capture',
          'none',
          '--listen',
          '127.0.0.1:0',
          '--explicit',
          `127.0.0.1:${explicit}`,
          '--admin',
          `127.0.0.1:${admin}`,
          '--log-format',
          'text',
        ],
      ];
      const [command, ...args] = tproxyCommand(flags);
      proxy = spawn(command!, args, {
        env: {...process.env, ...(colours ? {FORCE_COLOR: '1'} : {})},
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      await listening(proxy, onLine);
    },
    async startSquid() {
      if (!existsSync('/usr/sbin/squid'))
        return {missing: 'squid is not installed (Debian: apt-get install squid-openssl)'};
      if (process.getuid?.() === 0) return {missing: 'squid is shown with root in the captured tour'};
      const home = join(dir, 'squid');
      mkdirSync(home);
      const port = await freePort();
      const config = join(home, 'squid.conf');
      // Every name is behind the gateway; squid chains to it as a branch office's does.
      const chain = [`cache_peer 127.0.0.1 parent ${parentPort} 0 no-query default`, 'never_direct allow all'];
      writeFileSync(config, squidConfig(home, `127.0.0.1:${port}`, '127.0.0.1', ...chain));
      const squid = spawn('/usr/sbin/squid', ['-N', '-f', config], {stdio: 'ignore'});
      servers.push({close: () => squid.kill('SIGTERM')} as unknown as Server);
      if (!(await accepts(squid, () => connect(port, '127.0.0.1'))))
        return {missing: `squid did not start; see ${home}/cache.log`};
      // The access log tells of a tunnel when it is closed; this one, with the requests turned on, when it is opened.
      const log = join(home, 'cache.log');
      return {url: `http://127.0.0.1:${port}`, log: () => (existsSync(log) ? readFileSync(log, 'utf8') : '')};
    },
    async close() {
      if (closed) return;
      closed = true;
      if (proxy !== null && proxy.exitCode === null) {
        const gone = new Promise((resolve) => proxy!.once('exit', resolve));
        proxy.kill('SIGTERM');
        proxy.kill('SIGTERM');
        await gone;
      }
      for (const server of servers) server.close();
      rmSync(dir, {recursive: true, force: true});
    },
  };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

/** A port that was free a moment ago; good enough for a demo on loopback. */
async function freePort(): Promise<number> {
  const {createServer} = await import('node:net');
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}
