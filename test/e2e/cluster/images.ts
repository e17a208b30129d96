/** The images of the cluster, made without a registry: docker-archive tars, as `ctr images import` takes them. */
import {execFileSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {cpSync, createReadStream, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {homedir, tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {programOf} from './control.ts';

export interface Image {
  /** localhost/NAME:TAG */
  readonly name: string;
  readonly tar: string;
}

interface Config {
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
}

const ROOT = join(import.meta.dirname, '../../..');
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sallyport');
const PATHS = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const SUITE = 'bookworm';
/** What our own image needs of Debian, as the Dockerfile has it. */
const OUR_PACKAGES = ['nftables', 'conntrack', 'iproute2', 'procps'];
/** What the pods of the tests have: the clients of five languages, and what an attacker would bring. */
const TOOLS = [
  ...['ca-certificates', 'curl', 'iputils-ping', 'iproute2', 'dnsutils', 'netcat-openbsd'],
  ...['python3-minimal', 'python3-requests', 'openjdk-17-jre-headless'],
];
/** Debian with curl: what the README's pods are made of. */
const SAMPLE_IMAGE = 'docker.io/library/buildpack-deps:bookworm-curl';
const PROGRAMS = join(import.meta.dirname, '../programs');
/** Packets that no ordinary socket sends. */
const ESCAPE_PROGRAMS = join(import.meta.dirname, '../../escape/programs');

/** Does nothing but wait, and wait for orphans: what holds a pod's namespaces. */
const PAUSE_C = `#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void down(int s) { (void)s; _exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) { signal(SIGINT, down); signal(SIGTERM, down); signal(SIGCHLD, reap); for (;;) pause(); }
`;

/** Makes all of them in `dir`; `say` is told what takes long. */
export async function makeImages(dir: string, say: (text: string) => void): Promise<Image[]> {
  mkdirSync(dir, {recursive: true});
  const scratch = mkdtempSync(join(tmpdir(), 'sallyport-images-'));
  try {
    const pause = join(scratch, 'pause');
    mkdirSync(pause);
    writeFileSync(join(scratch, 'pause.c'), PAUSE_C);
    execFileSync('gcc', ['-static', '-Os', '-s', '-o', join(pause, 'pause'), join(scratch, 'pause.c')]);
    const coredns = join(scratch, 'coredns');
    mkdirSync(coredns);
    cpSync(programOf('coredns'), join(coredns, 'coredns'));
    const debian = debianLayer(OUR_PACKAGES, say);
    const tools = debianLayer(TOOLS, say);
    say('our own image');
    const ours = ownLayer(scratch);
    return [
      await image(dir, 'pause', [layerOf(scratch, pause)], {Entrypoint: ['/pause']}),
      await image(dir, 'coredns', [layerOf(scratch, coredns)], {Entrypoint: ['/coredns']}),
      await image(dir, 'tools', [tools, clientsLayer(scratch)], {Env: [PATHS], Cmd: ['bash']}, [SAMPLE_IMAGE]),
      await image(dir, 'sallyport', [debian, ours], {Env: [PATHS], Entrypoint: ['sallyport'], WorkingDir: '/'}),
    ];
  } finally {
    rmSync(scratch, {recursive: true, force: true});
  }
}

/** Debian's files, from the cache where they were made before. */
export function debianLayer(packages: readonly string[], say: (text: string) => void): string {
  const key = createHash('sha256')
    .update(JSON.stringify([SUITE, packages]))
    .digest('hex')
    .slice(0, 12);
  const tar = join(CACHE, `debian-${key}.tar`);
  if (existsSync(tar)) return tar;
  say(`Debian packages for the images: ${packages.join(' ')}`);
  const root = mkdtempSync(join(tmpdir(), 'sallyport-debian-'));
  try {
    execFileSync('debootstrap', ['--variant=minbase', `--include=${packages.join(',')}`, SUITE, root], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    for (const folder of [
      'var/cache/apt',
      'var/lib/apt/lists',
      'usr/share/doc',
      'usr/share/locale',
      'usr/share/man',
      'dev',
    ])
      rmSync(join(root, folder), {recursive: true, force: true});
    mkdirSync(join(root, 'dev'));
    mkdirSync(CACHE, {recursive: true});
    pack(root, `${tar}.${process.pid}`);
    renameSync(`${tar}.${process.pid}`, tar);
  } finally {
    rmSync(root, {recursive: true, force: true});
  }
  return tar;
}

/** The programs of test/e2e/programs, as /programs/get.py, get.mjs, Get.class and get (Go); and Node itself. */
function clientsLayer(scratch: string): string {
  const root = join(scratch, 'clients');
  const programs = join(root, 'programs');
  putNode(root);
  for (const folder of [PROGRAMS, ESCAPE_PROGRAMS]) cpSync(folder, programs, {recursive: true});
  // The runtime of the image is older than what compiles it.
  execFileSync('javac', ['--release', '17', '-d', programs, join(PROGRAMS, 'Get.java')]);
  execFileSync('go', ['build', '-trimpath', '-o', join(programs, 'get'), join(PROGRAMS, 'get.go')], {
    env: {...process.env, CGO_ENABLED: '0', GO111MODULE: 'off'},
  });
  return layerOf(scratch, root);
}

function putNode(root: string): void {
  mkdirSync(join(root, 'usr/local/bin'), {recursive: true});
  cpSync(process.execPath, join(root, 'usr/local/bin/node'));
}

/** The package as it would be published, with the dependencies that its users get. */
function ownLayer(scratch: string): string {
  const root = join(scratch, 'sallyport');
  const app = join(root, 'opt/sallyport');
  putNode(root);
  mkdirSync(app, {recursive: true});
  const npm = (...argv: string[]): string =>
    execFileSync('npm', [...argv, '--loglevel=error'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const packed = npm('pack', '--pack-destination', scratch).trim().split('\n').at(-1)!;
  writeFileSync(join(app, 'package.json'), '{"private": true}\n');
  npm(
    'install',
    '--prefix',
    app,
    '--omit=optional',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    join(scratch, packed),
  );
  writeFileSync(
    join(root, 'usr/local/bin/sallyport'),
    '#!/bin/sh\nexec node /opt/sallyport/node_modules/sallyport/cli/sallyport.mjs "$@"\n',
    {mode: 0o755},
  );
  return layerOf(scratch, root);
}

export function layerOf(scratch: string, root: string): string {
  const tar = join(scratch, `${createHash('sha256').update(root).digest('hex').slice(0, 12)}.tar`);
  pack(root, tar);
  return tar;
}

/** Without times: the same files are the same layer. */
function pack(root: string, tar: string): void {
  execFileSync('tar', [
    ...['--numeric-owner', '--owner=0', '--group=0', '--sort=name', '--mtime=@0', '-C', root, '-cf', tar, '.'],
  ]);
}

/** One archive: the layers, the image's configuration, and the manifest that names them. */
export async function image(
  dir: string,
  name: string,
  layers: readonly string[],
  config: Config,
  alsoNamed: readonly string[] = [],
  tag = '1',
): Promise<Image> {
  const scratch = mkdtempSync(join(dirname(layers[0]!) === CACHE ? tmpdir() : dirname(layers[0]!), 'image-'));
  const digests = await Promise.all(layers.map(sha256));
  const files = digests.map((digest) => `${digest}.tar`);
  layers.forEach((layer, i) => cpSync(layer, join(scratch, files[i]!)));
  const text = JSON.stringify({
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config,
    rootfs: {type: 'layers', diff_ids: digests.map((digest) => `sha256:${digest}`)},
  });
  const configFile = `${createHash('sha256').update(text).digest('hex')}.json`;
  const full = `localhost/${name}:${tag}`;
  writeFileSync(join(scratch, configFile), text);
  writeFileSync(
    join(scratch, 'manifest.json'),
    JSON.stringify([{Config: configFile, RepoTags: [full, ...alsoNamed], Layers: files}]),
  );
  const tar = join(dir, `${name}.tar`);
  execFileSync('tar', ['-C', scratch, '-cf', tar, 'manifest.json', configFile, ...files]);
  rmSync(scratch, {recursive: true, force: true});
  return {name: full, tar};
}

function sha256(file: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const hash = createHash('sha256');
    createReadStream(file)
      .on('error', reject)
      .on('data', (chunk) => hash.update(chunk))
      .on('end', () => resolve(hash.digest('hex')));
  });
}
