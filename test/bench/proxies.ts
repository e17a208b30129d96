/** This proxy and its peers under the same load, one after the other in the same namespaces. */
import {mkdirSync, openSync} from 'node:fs';
import {join} from 'node:path';
import type {ChildProcess} from 'node:child_process';
import {connectIn, type Lab} from '../lab/index.ts';
import {LOADS, parseWrk, wrkArguments, type Load, type Measured} from './load.ts';
import {envoy} from './peers/envoy.ts';
import {mitmproxy} from './peers/mitmproxy.ts';
import {nginx} from './peers/nginx.ts';
import {pump} from './peers/pump.ts';
import type {Command, Peer, Site} from './peers/peer.ts';
import {sallyport} from './peers/sallyport.ts';
import {squid} from './peers/squid.ts';
import {usage} from './processes.ts';

export const PEERS: readonly Peer[] = [sallyport, pump, nginx, envoy, squid, mitmproxy];

export interface Row extends Measured {
  readonly peer: string;
  readonly load: string;
  readonly cpuUsPerRequest: number;
  readonly residentBytes: number;
}

/** Compilers, pools and caches are warm then. */
const WARM_UP_SECONDS = 3;
/** How long a proxy may take to come up. */
const START_TIMEOUT_MS = 20_000;

/** Every load (of those given) on one peer; the peer is started before and ended after. */
export async function benchPeer(
  lab: Lab,
  peer: Peer,
  site: Site,
  seconds: number,
  say: (text: string) => void,
  loads: readonly Load[] = LOADS,
): Promise<Row[]> {
  mkdirSync(site.dir, {recursive: true});
  const command = peer.prepare(site);
  const log = openSync(join(site.dir, 'output'), 'w');
  const child = lab.spawn('node', command.argv, {
    stdio: ['ignore', log, log],
    ...(command.env === undefined ? {} : {env: command.env}),
  });
  try {
    await up(lab, child, command, peer.name);
    if (command.redirectTo !== null) await redirect(lab, site.podInterface, command.redirectTo);
    const rows: Row[] = [];
    for (const load of loads) {
      await wrk(lab, load, site.host, WARM_UP_SECONDS);
      const before = usage(child.pid!);
      const measured = await wrk(lab, load, site.host, seconds);
      const after = usage(child.pid!);
      const row = {
        peer: peer.name,
        load: load.name,
        ...measured,
        cpuUsPerRequest: (after.cpuUs - before.cpuUs) / Math.max(1, measured.requests),
        residentBytes: after.residentBytes,
      };
      say(
        `${peer.name}, ${load.name}: ${Math.round(row.requestsPerSecond)} requests/s, ${Math.round(row.cpuUsPerRequest)} µs CPU, p99 ${row.p99Ms} ms${row.errors > 0 ? `, ${row.errors} ERRORS` : ''}`,
      );
      rows.push(row);
    }
    return rows;
  } finally {
    await lab.exec('node', ['nft', 'delete', 'table', 'ip', 'bench']);
    await end(child);
    await lab.exec('node', ['nft', 'delete', 'table', 'inet', 'sallyport']);
  }
}

async function wrk(lab: Lab, load: Load, host: string, seconds: number): Promise<Measured> {
  const {stdout, stderr} = await lab.exec('client', ['wrk', ...wrkArguments(load, `https://${host}`, seconds)], {
    timeoutMs: (seconds + 20) * 1000,
  });
  return parseWrk(stdout + stderr);
}

async function redirect(lab: Lab, podInterface: string, port: number): Promise<void> {
  const rules = `table ip bench {
  chain captured {
    type nat hook prerouting priority dstnat;
    iifname "${podInterface}" tcp dport 443 redirect to :${port}
  }
}
`;
  const {status, stderr} = await lab.exec('node', ['nft', '-f', '-'], {stdin: rules});
  if (status !== 0) throw new Error(`nft: ${stderr}`);
}

async function up(lab: Lab, child: ChildProcess, command: Command, name: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`${name} ended with exit code ${child.exitCode}; see its output file`);
    if (await asked(lab, command)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${name} was not up after ${START_TIMEOUT_MS} ms`);
}

async function asked(lab: Lab, command: Command): Promise<boolean> {
  const {ready} = command;
  if ('url' in ready) return (await lab.exec('node', ['curl', '-sf', '-o', '/dev/null', ready.url])).status === 0;
  return new Promise((resolve) => {
    const socket = connectIn(lab.node.path, {ip: '127.0.0.1', port: ready.port});
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => (socket.destroy(), resolve(false)));
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  // squid takes up to half a minute to stop by itself.
  const kill = setTimeout(() => child.kill('SIGKILL'), 3000);
  await gone;
  clearTimeout(kill);
}
