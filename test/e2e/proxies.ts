/**
 * Proxy settings by namespace: programs are told of a corporate squid or tinyproxy outside of the cluster, and reach the sites
 * through it and the cluster's Services without it.
 */
import {chmodSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {startSquid, startTinyproxy, type Parent} from '../mesh/parents.ts';
import {RESOLVER} from '../conformance/world/world.ts';
import type {Cluster} from './cluster/cluster.ts';
import type {Internet} from './internet.ts';
import {leave, makePod} from './pods.ts';
import {eventually, expect, type Report} from './report.ts';

const SITE = 'https://storage.googleapis.com/public/index.html';
const THROUGH = 'CONNECT storage.googleapis.com:443';
const INSIDE = 'http://inside.services.svc/';
const SQUID = {ip: '198.51.100.31', port: 3128};
const TINYPROXY = {ip: '198.51.100.32', port: 8888};

/** One program a language, which prints the status of each URL in a line. */
const CLIENTS: Readonly<Record<string, readonly string[]>> = {
  curl: ['sh', '-c', 'for url; do curl -s -o /dev/null -m 10 -w "%{http_code}\\n" "$url"; done', 'curl'],
  Python: ['python3', '/programs/get.py'],
  Node: ['node', '/programs/get.mjs'],
  Java: ['java', '-cp', '/programs', 'Get'],
  Go: ['/programs/get'],
};

const SERVER = `require('node:http').createServer((_, answer) => answer.end('inside')).listen(8080)`;

export async function proxies(cluster: Cluster, _internet: Internet, report: Report): Promise<void> {
  report.suite('Proxy settings');
  const {lab} = cluster.machine;
  // They run as users of their own, who have to reach their folders.
  const own = mkdtempSync(join(tmpdir(), 'sallyport-parents-'));
  chmodSync(own, 0o755);
  lab.setResolver('internet', RESOLVER);
  const squid = await startSquid(lab, own, RESOLVER, {ips: [SQUID.ip], port: SQUID.port});
  const tinyproxy = await startTinyproxy(lab, own, RESOLVER, {ips: [TINYPROXY.ip], port: TINYPROXY.port});
  try {
    await report.step('a Service in the cluster', async () => {
      await cluster.must(['create', 'namespace', 'services']);
      const labels = {app: 'inside'};
      await makePod(cluster, {namespace: 'services', name: 'inside', labels, command: ['node', '-e', SERVER]});
      await apply(cluster, {
        ...{apiVersion: 'v1', kind: 'Service', metadata: {name: 'inside', namespace: 'services'}},
        spec: {selector: labels, ports: [{port: 80, targetPort: 8080}]},
      });
    });
    await settings(cluster, report, {name: 'squid', url: `http://${SQUID.ip}:${SQUID.port}`, parent: squid});
    await settings(cluster, report, {
      ...{name: 'tinyproxy', url: `http://${TINYPROXY.ip}:${TINYPROXY.port}`, parent: tinyproxy},
    });
    await exceptions(cluster, report, squid, tinyproxy);
  } finally {
    await Promise.all([squid.stop(), tinyproxy.stop()]);
    rmSync(own, {recursive: true, force: true});
    await leave(cluster, ['services', 'by-squid', 'by-tinyproxy'], ['upstreamproxies']);
  }
}

interface Told {
  readonly name: string;
  readonly url: string;
  readonly parent: Parent;
}

const through = (parent: Parent): number => parent.asked().filter((asked) => asked === THROUGH).length;

/** A namespace whose pods are told, and what each language makes of it. */
async function settings(cluster: Cluster, report: Report, {name, url, parent}: Told): Promise<void> {
  const namespace = `by-${name}`;
  await report.step(`${name}: a namespace is told of it`, async () => {
    await apply(cluster, {
      ...{apiVersion: 'sallyport.dev/v1alpha1', kind: 'UpstreamProxy', metadata: {name}},
      spec: {endpoints: [{url}], hosts: ['*']},
    });
    await apply(cluster, {
      ...{apiVersion: 'v1', kind: 'Namespace'},
      metadata: {
        name: namespace,
        labels: {'sallyport.dev/injection': 'enabled', 'sallyport.dev/mode': 'proxy-env'},
        annotations: {'sallyport.dev/upstream-proxy': name},
      },
    });
    await eventually('the webhook knows the namespace and the proxy', async () => {
      await cluster.kubectl(['-n', namespace, 'delete', 'pod', 'app', '--ignore-not-found', '--grace-period=0']);
      await makePod(cluster, {namespace, name: 'app', labels: {}});
      return (await cluster.must(['-n', namespace, 'exec', 'app', '--', 'env'])).includes(`https_proxy=${url}`);
    });
  });
  for (const [language, argv] of Object.entries(CLIENTS))
    await report.step(`${name}, ${language}: the site through it, the Service without it`, async () => {
      const [before, asked] = [through(parent), parent.asked().length];
      const {stdout, stderr} = await cluster.kubectl([
        ...['-n', namespace, 'exec', 'app', '--', ...argv],
        ...[SITE, INSIDE],
      ]);
      expect(stdout.trim() === '200\n200', `${stdout}${stderr}`);
      await eventually('it was asked for the site', async () => through(parent) > before);
      const seen = parent.asked().slice(asked);
      expect(!seen.some((one) => one.includes('inside.services')), `it was asked for ${seen.join(', ')}`);
    });
}

/** What the pod says is its own, and what is not the pod's main container is told too. */
async function exceptions(cluster: Cluster, report: Report, squid: Parent, tinyproxy: Parent): Promise<void> {
  const namespace = 'by-squid';
  const curl = ['curl', '-s', '-o', '/dev/null', '-m', '10', '-w', '%{http_code}', SITE];
  await report.step('a pod with settings of its own keeps them', async () => {
    const own = `http://${TINYPROXY.ip}:${TINYPROXY.port}`;
    await makePod(cluster, {namespace, name: 'own', labels: {}, env: {HTTPS_PROXY: own}});
    const [before, squidBefore] = [through(tinyproxy), through(squid)];
    const status = await cluster.must(['-n', namespace, 'exec', 'own', '--', ...curl]);
    expect(status === '200', status);
    await eventually('its own proxy was asked', async () => through(tinyproxy) > before);
    expect(through(squid) === squidBefore, 'the namespace’s proxy was asked');
  });
  await report.step('an init container is told too', async () => {
    const before = through(squid);
    await makePod(cluster, {namespace, name: 'init', labels: {}, init: curl});
    const status = await cluster.must(['-n', namespace, 'logs', 'init', '-c', 'first']);
    expect(status === '200', status);
    await eventually('the proxy was asked', async () => through(squid) > before);
  });
  await report.step('an ephemeral container is told too', async () => {
    const before = through(squid);
    await cluster.must([
      ...['-n', namespace, 'debug', 'app', '--image=localhost/tools:1', '--image-pull-policy=Never'],
      ...['-c', 'late', '--attach=false', '--', ...curl],
    ]);
    let status = '';
    await eventually('it has asked', async () => {
      status = (await cluster.kubectl(['-n', namespace, 'logs', 'app', '-c', 'late'])).stdout;
      return status !== '';
    });
    expect(status === '200', status);
    await eventually('the proxy was asked', async () => through(squid) > before);
  });
}

async function apply(cluster: Cluster, object: object): Promise<void> {
  await cluster.must(['apply', '-f', '-'], JSON.stringify(object));
}
