/** Real corporate proxies for the lab's internet: squid and tinyproxy, with and without basic authentication. */
import type {ChildProcess} from 'node:child_process';
import {chmodSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {accepts, ended, squidConfig} from '../../cli/demo/squid.ts';
import {connectIn, type Lab} from '../lab/index.ts';

export interface Parent {
  /** METHOD TARGET of what it was asked, in order. */
  asked(): readonly string[];
  stop(): Promise<void>;
}

/** What several were asked since `begin`, each with its name before it. Those that come later than it count whole. */
export function askedOf(parents: ReadonlyMap<string, Parent>): {begin(this: void): void; asked(this: void): string[]} {
  let before = new Map<string, number>();
  return {
    begin: () => {
      before = new Map([...parents].map(([name, parent]) => [name, parent.asked().length]));
    },
    asked: () =>
      [...parents].flatMap(([name, parent]) =>
        parent
          .asked()
          .slice(before.get(name))
          .map((what) => `${name}: ${what}`),
      ),
  };
}

export interface ParentOptions {
  readonly ips: readonly string[];
  readonly port: number;
  /** Basic authentication is required. */
  readonly user?: {readonly name: string; readonly password: string};
  /** squid alone: it speaks TLS, with this certificate. */
  readonly tls?: {readonly cert: string; readonly key: string};
}

/** A certificate that is its own root, for names and addresses as openssl writes them (DNS:a, IP:10.1.2.3), as files. */
export async function selfSigned(
  lab: Lab,
  dir: string,
  name: string,
  alternatives: string,
): Promise<{cert: string; key: string}> {
  const [cert, key] = [join(dir, `${name}.crt`), join(dir, `${name}.key`)];
  const {status, stderr} = await lab.exec('internet', [
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', `/CN=${name}`, '-addext', `subjectAltName=${alternatives}`, '-keyout', key, '-out', cert],
  ]);
  if (status !== 0) throw new Error(`openssl: ${stderr}`);
  // squid reads its key after it has given up root.
  chmodSync(key, 0o644);
  return {cert, key};
}

export async function startSquid(lab: Lab, dir: string, resolver: string, options: ParentOptions): Promise<Parent> {
  const {ips, port, user, tls} = options;
  const [ip, ...more] = ips.map((one) => (one.includes(':') ? `[${one}]` : one));
  const own = folder(dir, `squid-${ips[0]!.replaceAll(':', '-')}-${port}`);
  const config = join(own, 'squid.conf');
  const passwords = join(own, 'passwords');
  let text = squidConfig(own, `${ip}:${port}`, resolver, ...more.map((other) => `http_port ${other}:${port}`));
  if (user !== undefined) {
    const hash = await lab.exec('internet', ['openssl', 'passwd', '-apr1', user.password]);
    writeFileSync(passwords, `${user.name}:${hash.stdout.trim()}\n`, {mode: 0o644});
    const auth = `auth_param basic program /usr/lib/squid/basic_ncsa_auth ${passwords}\nacl known proxy_auth REQUIRED\n`;
    text = auth + text.replace('http_access allow all', 'http_access allow known\nhttp_access deny all');
  }
  if (tls !== undefined)
    text = text.replaceAll(/^http_port (.*)$/gm, `https_port $1 tls-cert=${tls.cert} tls-key=${tls.key}`);
  writeFileSync(config, text);
  await lab.internet.addAddress(...ips);
  const child = lab.spawn('internet', ['squid', '-N', '-f', config], {stdio: 'ignore', cwd: own});
  await up(lab, child, `squid at ${ip}:${port}`, options, () => read(join(own, 'cache.log')));
  return {
    asked: () => squidAsked(read(join(own, 'cache.log'))),
    stop: () => ended(child),
  };
}

/** With `debug_options 11,2` each request is in the log when it comes, a tunnel too (access.log has it when it ends); what squid asks for itself begins with a slash. */
const squidAsked = (log: string): readonly string[] =>
  [...log.matchAll(/^(GET|HEAD|POST|PUT|CONNECT|OPTIONS|TRACE) ([^/\s]\S*) HTTP\/1/gm)].map(
    ([, method, target]) => `${method} ${target}`,
  );

export async function startTinyproxy(
  lab: Lab,
  dir: string,
  _resolver: string,
  options: ParentOptions,
): Promise<Parent> {
  const {ips, port, user} = options;
  const own = folder(dir, `tinyproxy-${ips[0]}-${port}`);
  const config = join(own, 'tinyproxy.conf');
  const lines = [
    `Port ${port}`,
    ...ips.map((ip) => `Listen ${ip}`),
    'Timeout 60',
    'MaxClients 50',
    'LogLevel Info',
    `LogFile "${own}/log"`,
    'ConnectPort 443',
    'ConnectPort 8443',
    ...(user === undefined ? [] : [`BasicAuth ${user.name} ${user.password}`]),
  ];
  writeFileSync(config, `${lines.join('\n')}\n`);
  await lab.internet.addAddress(...ips);
  const child = lab.spawn('internet', ['tinyproxy', '-d', '-c', config], {stdio: 'ignore', cwd: own});
  await up(lab, child, `tinyproxy at ${ips[0]}:${port}`, options, () => read(join(own, 'log')));
  return {
    asked: () => [...read(join(own, 'log')).matchAll(/Request .*?: (\S+ \S+) HTTP/g)].map(([, what]) => what!),
    stop: () => ended(child),
  };
}

async function up(
  lab: Lab,
  child: ChildProcess,
  what: string,
  {ips, port}: ParentOptions,
  said: () => string,
): Promise<void> {
  if (await accepts(child, () => connectIn(lab.internet.path, {ip: ips[0]!, port}))) return;
  throw new Error(`${what} does not answer\n${said()}`);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Both give up root, and write their logs after that. */
function folder(dir: string, name: string): string {
  const own = join(dir, name);
  mkdirSync(own);
  chmodSync(dir, 0o711);
  chmodSync(own, 0o777);
  return own;
}
