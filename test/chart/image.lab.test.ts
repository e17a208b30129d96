/** The images without a container engine: what the Dockerfile copies and runs, done in a folder, and the result entered. */
import {execFileSync, spawnSync} from 'node:child_process';
import {cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import {labTest} from '../lab/require.ts';
import {instructionsOf, sourcesOf} from './dockerfile.ts';

const ROOT = join(import.meta.dirname, '../..');
const instructions = instructionsOf(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'));
const of = (stage: string, name: string): string[] =>
  instructions.filter((one) => one.stage === stage && one.name === name).map(({text}) => text);
const sources = instructions.flatMap(sourcesOf);
const LONG_MS = 300_000;

describe('the Dockerfile', () => {
  test('copies what is there, and what .dockerignore lets through', () => {
    expect(sources.length).toBeGreaterThan(15);
    const ignore = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n');
    expect(ignore).toContain('*');
    const letThrough = ignore.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    expect([...sources].sort()).toEqual([...letThrough].sort());
    expect(sources.filter((path) => path !== 'node_modules' && !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test('has two images to build, of which one has no base', () => {
    const stages = [...new Set(instructions.map(({stage}) => stage))].filter((stage) => stage !== '');
    expect(stages).toEqual(['build', 'services', 'node']);
    expect(of('services', 'FROM')).toEqual(['scratch AS services']);
    expect(of('services', 'RUN')).toEqual([]);
    expect(of('services', 'USER')).toEqual(['65532:65532']);
  });

  test('brings no key and no test along', () => {
    expect(sources.filter((path) => /sallyport-ca|^test$|^\.git|^charts/.test(path))).toEqual([]);
  });

  test('starts both with the command, so that a pod’s args are its role and flags', () => {
    const start = '["/usr/local/bin/node", "/opt/sallyport/cli/sallyport.mjs"]';
    expect([...of('services', 'ENTRYPOINT'), ...of('node', 'ENTRYPOINT')]).toEqual([start, start]);
  });
});

describe('built', () => {
  let dir: string;
  let out: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-image-'));
    out = join(dir, 'out');
    const context = join(dir, 'src');
    for (const source of sources) {
      mkdirSync(dirname(join(context, source)), {recursive: true});
      // Half a gigabyte that nobody writes to.
      if (source === 'node_modules') symlinkSync(join(ROOT, source), join(context, source));
      else
        cpSync(join(ROOT, source), join(context, source), {
          ...{recursive: true, verbatimSymlinks: true},
          filter: (path) => !path.endsWith('.test.ts'),
        });
    }
    const env = {PATH: `${context}/node_modules/.bin:/usr/sbin:/usr/bin:/sbin:/bin`, OUT: out};
    for (const command of of('build', 'RUN')) {
      const {status, stdout, stderr} = spawnSync('sh', ['-c', command], {cwd: context, env, encoding: 'utf8'});
      expect([status, stdout, stderr]).toEqual([0, '', '']);
    }
  }, LONG_MS);
  afterAll(() => rmSync(dir, {recursive: true, force: true}));

  /** Inside of the services' image, where nothing else is, as its user. */
  const inside = (...argv: string[]): {status: number | null; stdout: string; stderr: string} =>
    spawnSync('/usr/sbin/chroot', ['--userspec=65532:65532', join(out, 'services'), ...argv], {
      env: {PATH: '/usr/local/bin', HOME: '/tmp'},
      encoding: 'utf8',
    });
  const entry = ['/usr/local/bin/node', '/opt/sallyport/cli/sallyport.mjs'];

  labTest().each(['injector', 'controller', 'extauthz', 'guard'])(
    'sallyport %s starts from scratch, as nobody',
    (role) => {
      const {status, stdout, stderr} = inside(...entry, role, '--help');
      expect([status, stderr]).toEqual([0, '']);
      expect(stdout).toContain(`sallyport ${role}: `);
    },
  );

  labTest()('add-ons load, and Node has the roots of the world with it', () => {
    const program =
      "const koffi = require('/opt/sallyport/node_modules/koffi'); const getpid = koffi.load(null).func('int getpid()');" +
      "console.log(getpid() === process.pid, require('node:tls').rootCertificates.length > 100)";
    expect(inside('/usr/local/bin/node', '-e', program)).toMatchObject({stderr: '', stdout: 'true true\n'});
  });

  labTest()('helm test’s program is found as the chart names it', () => {
    expect(inside('node', '-e', 'console.log(1)')).toMatchObject({stdout: '1\n'});
  });

  labTest()('there is no shell, no compiler’s package and no key in it', () => {
    const files = execFileSync('find', [join(out, 'services'), '-type', 'f'], {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    });
    const found = files.split('\n').map((path) => path.slice(join(out, 'services').length));
    expect(found.length).toBeGreaterThan(500);
    expect(
      found.filter((path) =>
        /\/(sh|bash|busybox|apt|npm)$|node_modules\/(jest|typescript|eslint)\/|\.key$|\.test\./.test(path),
      ),
    ).toEqual([]);
  });

  labTest()('the agent’s has the tools that it is built for, on a Debian that has them', () => {
    const [check] = of('node', 'RUN');
    const {status, stdout} = spawnSync('sh', ['-c', check!], {env: {PATH: '/usr/bin:/bin'}, encoding: 'utf8'});
    expect([status, stdout]).toEqual([0, '']);
    expect(existsSync(join(out, 'app/usr/local/bin/node'))).toBe(true);
  });
});
