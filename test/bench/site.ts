/** The site under test: an nginx in the lab's internet with a certificate, and the client's way to it. */
import {execFileSync} from 'node:child_process';
import {chmodSync, mkdirSync, writeFileSync} from 'node:fs';
import {homedir} from 'node:os';
import {join} from 'node:path';
import {answerQuery} from '../../cli/demo/dns.ts';
import {udpIn, type Lab} from '../lab/index.ts';
import type {Site} from './peers/peer.ts';

export const HOST = 'bench.test';
const ADDRESS = '93.184.216.34';
/** Who tells our proxy where the host is; the peers read it from /etc/hosts. */
export const RESOLVER = '9.9.9.9';
const SMALL_BYTES = 100;
const LARGE_BYTES = 1_000_000;

/** Makes certificates and starts the origin; the folder is one peer's own later. */
export async function startSite(lab: Lab, dir: string): Promise<Omit<Site, 'dir'>> {
  // squid's helpers run as another user and must reach their own folder below.
  chmodSync(dir, 0o711);
  const roots = makeCa(dir, 'public');
  const proxyCa = makeCa(dir, 'proxy');
  const origin = makeLeaf(dir, 'origin', roots);
  const leaf = makeLeaf(dir, 'leaf', proxyCa);
  const www = join(dir, 'www');
  mkdirSync(www, {recursive: true});
  writeFileSync(join(www, 'small'), 'x'.repeat(SMALL_BYTES));
  writeFileSync(join(www, 'large'), Buffer.alloc(LARGE_BYTES, 'x'));
  mkdirSync(join(dir, 'tmp'));
  const config = join(dir, 'origin.conf');
  writeFileSync(
    config,
    `daemon off; user root; worker_processes 1; pid ${dir}/origin.pid; error_log ${dir}/origin.log;
events { worker_connections 40000; }
http {
  access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 300;
  client_body_temp_path ${dir}/tmp/c; proxy_temp_path ${dir}/tmp/p; fastcgi_temp_path ${dir}/tmp/f; uwsgi_temp_path ${dir}/tmp/u; scgi_temp_path ${dir}/tmp/s;
  server { listen ${ADDRESS}:443 ssl; ssl_certificate ${origin.certificate}; ssl_certificate_key ${origin.key}; root ${www}; }
}
`,
  );
  await lab.internet.addAddress(ADDRESS, RESOLVER);
  lab.spawn('internet', ['/usr/sbin/nginx', '-p', dir, '-c', config], {stdio: ['ignore', 'ignore', 'inherit']});
  for (const where of ['client', 'node']) lab.writeEtc(where, 'hosts', `127.0.0.1 localhost\n${ADDRESS} ${HOST}\n`);
  const dns = await udpIn(lab.internet.path, RESOLVER, 53);
  dns.unref();
  dns.on('message', (query, from) => {
    const answer = answerQuery(query, (name) => (name === HOST ? ADDRESS : undefined));
    if (answer !== null) dns.send(answer, from.port, from.address);
  });
  const pod = lab.pod('client');
  return {
    host: HOST,
    address: ADDRESS,
    upstreamRoots: roots.certificate,
    ca: proxyCa,
    leaf,
    podIp: pod.ip4,
    podInterface: pod.interface,
    cache: join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sallyport'),
  };
}

interface Pair {
  readonly certificate: string;
  readonly key: string;
}

const openssl = (...args: string[]): void => void execFileSync('openssl', args, {stdio: ['ignore', 'ignore', 'pipe']});

function makeCa(dir: string, name: string): Pair {
  const pair = {certificate: join(dir, `${name}-ca.crt`), key: join(dir, `${name}-ca.key`)};
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
    '-subj',
    `/CN=bench ${name} CA`,
    '-keyout',
    pair.key,
    '-out',
    pair.certificate,
  );
  return pair;
}

function makeLeaf(dir: string, name: string, ca: Pair): Pair {
  const pair = {certificate: join(dir, `${name}.crt`), key: join(dir, `${name}.key`)};
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
    '-subj',
    `/CN=${HOST}`,
    '-addext',
    `subjectAltName=DNS:${HOST}`,
    '-addext',
    'basicConstraints=critical,CA:FALSE',
    '-CA',
    ca.certificate,
    '-CAkey',
    ca.key,
    '-keyout',
    pair.key,
    '-out',
    pair.certificate,
  );
  return pair;
}
