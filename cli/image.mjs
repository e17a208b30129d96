// node cli/image.mjs OUT: the images' file systems from a checkout that has its node_modules and dist, without a network.
//   OUT/app       what both images hold: the package with its production dependencies, and Node
//   OUT/services  app and the libraries that Node and its add-ons load: it needs no base
// Plain JavaScript, since it runs with whichever Node the checkout has brought.
import {execFileSync} from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

/** Tests and types of packages are for those who work on them; some bring test keys. */
const LEFT_OUT =
  /\/\.(bin|package-lock\.json)(\/|$)|node_modules\/(@[^/]+\/)?[^/]+\/(test|tests|\.github|benchmark|benchmarks|examples)$|\.test\.[cm]?[jt]s$|\.d\.[cm]?ts$|\.map$/;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const out = process.argv[2];
if (out === undefined) fail('Say where to: node cli/image.mjs OUT.');

const home = 'opt/sallyport';
const app = join(out, 'app');
rmSync(out, {recursive: true, force: true});
mkdirSync(join(app, home), {recursive: true});

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
if (!existsSync(join(root, 'dist/cli/main.js'))) fail('There is no dist: run npm run build first.');
for (const name of ['package.json', 'LICENSE', ...manifest.files]) copy(join(root, name), join(app, home, name));
for (const name of productionModules()) copy(join(root, name), join(app, home, name));

const node = join(root, `node_modules/node-linux-${process.arch}/bin/node`);
if (!existsSync(node)) fail(`${node} is not there: npm install brings it as an optional dependency.`);
mkdirSync(join(app, 'usr/local/bin'), {recursive: true});
cpSync(node, join(app, 'usr/local/bin/node'));
// Once is enough: it is the largest file by far.
rmSync(join(app, home, `node_modules/node-linux-${process.arch}`), {recursive: true, force: true});
symlinkSync(`/${home}/cli/sallyport.mjs`, join(app, 'usr/local/bin/sallyport'));

const services = join(out, 'services');
cpSync(app, services, {recursive: true, verbatimSymlinks: true});
for (const library of librariesOf([node, ...addons(join(app, home))])) {
  const real = realpathSync(library);
  mkdirSync(join(services, dirname(library)), {recursive: true});
  cpSync(real, join(services, library));
}
mkdirSync(join(services, 'etc'), {recursive: true});
writeFileSync(
  join(services, 'etc/passwd'),
  'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n',
);
writeFileSync(join(services, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
// Names of /etc/hosts before those of DNS, as everywhere.
writeFileSync(join(services, 'etc/nsswitch.conf'), 'hosts: files dns\n');
mkdirSync(join(services, 'tmp'), {mode: 0o1777});

/** Folders of the lock file that are not for development alone; bindings of other platforms are not there. */
function productionModules() {
  const {packages} = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(packages)
    .filter(([path, {dev}]) => path.startsWith('node_modules/') && dev !== true && existsSync(join(root, path)))
    .map(([path]) => path)
    .filter((path, _at, all) => !all.some((other) => path.startsWith(`${other}/`)));
}

function addons(dir) {
  return readdirSync(dir, {recursive: true})
    .filter((name) => name.endsWith('.node') && name.includes(`linux_${process.arch}`))
    .map((name) => join(dir, name));
}

/** What the dynamic linker would load, itself included. */
function librariesOf(programs) {
  const lines = programs.flatMap((program) => execFileSync('ldd', [program], {encoding: 'utf8'}).split('\n'));
  const missing = lines.find((line) => line.includes('not found'));
  if (missing !== undefined) fail(`The base lacks a library: ${missing.trim()}.`);
  return new Set(lines.flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? []));
}

function copy(from, to) {
  mkdirSync(dirname(to), {recursive: true});
  cpSync(from, to, {recursive: true, verbatimSymlinks: true, filter: (path) => !LEFT_OUT.test(path)});
}

function fail(message) {
  process.stderr.write(`image: ${message}\n`);
  process.exit(1);
}
