/** The samples' own UpstreamProxies with the real programs behind their addresses, and a captured pod's real curl. */
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {createServer as createPlain} from 'node:http';
import {createServer} from 'node:https';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, expect} from '@jest/globals';
import {parseAllDocuments, stringify} from 'yaml';
import {proxiedLab, RESOLVER, type ProxiedLab} from '../lab/proxied.ts';
import {labTest} from '../lab/require.ts';
import {startSquid, startTinyproxy, type Parent} from '../mesh/parents.ts';
import {until} from '../waiting.ts';

const TIMEOUT_MS = 120_000;
const SAMPLES = join(import.meta.dirname, '../../samples');

interface Sample {
  readonly kind: string;
  readonly stringData?: Readonly<Record<string, string>>;
}
const documents = (file: string): Sample[] =>
  parseAllDocuments(readFileSync(join(SAMPLES, file), 'utf8')).map((document) => document.toJS() as Sample);

let world: ProxiedLab;
let refs: string;
const parents: Parent[] = [];
afterEach(async () => {
  for (const parent of parents.splice(0)) await parent.stop();
  await world?.close();
  rmSync(refs, {recursive: true, force: true});
}, TIMEOUT_MS);

/** A lab under the sample's policies; its pod is who they are about. Sites answer with their name. */
async function open(name: string, policies: object[], pod: object, sites: readonly string[]): Promise<void> {
  refs = mkdtempSync(join(tmpdir(), 'sallyport-refs-'));
  world = await proxiedLab({name, policies, flags: ['--refs', refs]});
  const {ips, interface: at} = world.lab.pod('app');
  writeFileSync(
    join(world.dir, 'workloads.yaml'),
    stringify([{ips, interface: at, name: 'app', trustsCa: true, ...pod}]),
  );
  for (const site of sites) {
    const {leaves} = world.ca;
    await world.addSite(
      site,
      443,
      createServer({SNICallback: (_, done) => done(null, leaves.context(site))}, (_, response) => response.end(site)),
    );
    await world.addSite(
      site,
      80,
      createPlain((_, response) => response.end(site)),
    );
  }
}

/** `200 www.example.com`. */
async function curl(url: string): Promise<string> {
  const argv = ['curl', '-s', '-m', '30', '-w', ' %{http_code}', url];
  const {stdout, status} = await world.lab.exec('app', argv, {env: world.trust});
  return status === 0 ? stdout : `curl exit ${status}`;
}
/** Until the workload table, or a Secret, has been taken over. */
async function eventually(url: string, answer: string): Promise<void> {
  await until(
    () => curl(url),
    (last) => last === answer,
    {what: `${answer} of ${url}`},
  );
}

labTest('curl', 'squid')(
  'samples/corporate-squid: TLS by CONNECT and plain HTTP in absolute form go through squid, what is excepted does not',
  async () => {
    await open(
      'squid-sample',
      documents('corporate-squid/squid.yaml'),
      {namespace: 'by-squid', namespaceLabels: {egress: 'squid'}, labels: {}},
      ['www.example.com', 'mirror.example.com', 'status.example.com', 'git.internal.example.com', 'www.google.com'],
    );
    // The first endpoint is away: nobody has its address.
    const squid = await startSquid(world.lab, world.dir, RESOLVER, {ips: ['10.1.2.4'], port: 3128});
    parents.push(squid);
    await eventually('https://www.example.com/', 'www.example.com 200');
    expect(await curl('http://mirror.example.com/')).toBe('mirror.example.com 200');
    expect(await curl('https://status.example.com/')).toBe('status.example.com 200');
    expect(await curl('https://git.internal.example.com/')).toBe('git.internal.example.com 200');
    expect(await curl('https://www.google.com/')).toMatch(/ 403$/);
    const asked = new Set(squid.asked());
    expect(asked).toEqual(new Set(['CONNECT www.example.com:443', 'GET http://mirror.example.com/']));

    await squid.stop();
    // 502: a parent that is away never means going direct.
    expect(await curl('https://www.example.com/')).toMatch(/ 502$/);
    expect(await curl('https://status.example.com/')).toBe('status.example.com 200');
  },
  TIMEOUT_MS,
);

labTest('curl', 'tinyproxy')(
  'samples/tinyproxy: the Secret’s user and password open it, without them the answer is 502 and nothing goes direct',
  async () => {
    await open(
      'tinyproxy-sample',
      documents('tinyproxy/tinyproxy.yaml'),
      {namespace: 'partner-app', labels: {app: 'orders'}},
      ['api.partner.example.com', 'www.example.com'],
    );
    const [secret] = documents('tinyproxy/secret.yaml');
    const {username = '', password = ''} = secret!.stringData!;
    const user = {name: username, password};
    const tinyproxy = await startTinyproxy(world.lab, world.dir, RESOLVER, {ips: ['10.1.2.5'], port: 8888, user});
    parents.push(tinyproxy);
    await eventually('https://www.example.com/', 'www.example.com 200');
    expect(await curl('https://api.partner.example.com/orders/17')).toMatch(/ 502$/);
    expect(tinyproxy.asked()).toEqual([]);

    const folder = join(refs, 'secrets/sallyport/partner-proxy');
    mkdirSync(folder, {recursive: true});
    writeFileSync(join(folder, 'username'), username);
    writeFileSync(join(folder, 'password'), password);
    await eventually('https://api.partner.example.com/orders/17', 'api.partner.example.com 200');
    expect(tinyproxy.asked()).toContain('CONNECT api.partner.example.com:443');
    expect(await curl('https://api.partner.example.com/admin')).toMatch(/ 403$/);
    // What the pod was told, and what the log says, holds no password.
    expect(JSON.stringify(world.journal)).not.toContain(password);
  },
  TIMEOUT_MS,
);
