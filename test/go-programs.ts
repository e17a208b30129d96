/** Programs that tests need, built from the Go module proxy into the per-user cache, keyed by what pins them. */
import {spawnSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {existsSync, mkdirSync, readFileSync, renameSync, rmSync} from 'node:fs';
import {homedir} from 'node:os';
import {join} from 'node:path';

/**
 * Where what is built from the go.mod of `source` is kept: another folder for other pins. `name` begins the folder's own name,
 * `built` is whatever else decides what comes out: programs, variables.
 */
export function cacheFolder(source: string, name: string, built: unknown): string {
  const pins = ['go.mod', 'go.sum'].map((file) => readFileSync(join(source, file)));
  const hash = createHash('sha256')
    .update(Buffer.concat(pins))
    .update(JSON.stringify(built))
    .digest('hex')
    .slice(0, 12);
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sallyport');
  return join(cache, `${name}-${hash}`);
}

/** Fills `folder` by `build`, which is given another one to write into; does nothing where it is there. What `build` throws is thrown. */
export function buildOnce(folder: string, build: (into: string) => void): void {
  if (existsSync(folder)) return;
  const building = `${folder}.${process.pid}`;
  mkdirSync(building, {recursive: true});
  try {
    build(building);
    // Named only when it is whole: an interrupted build is no program. Somebody else may have built it meanwhile.
    if (!existsSync(folder)) renameSync(building, folder);
  } finally {
    rmSync(building, {recursive: true, force: true});
  }
}

/** Runs `go` in `source`, its words on standard error; what it prints, or null where it failed. Nobody is to wait for it, so it is nice. */
export function go(source: string, args: readonly string[]): string | null {
  const {status, stdout} = spawnSync('nice', ['-n', '15', 'go', ...args], {
    cwd: source,
    encoding: 'utf8',
    // go.sum holds what is downloaded to its hashes.
    env: {...process.env, CGO_ENABLED: '0', GOFLAGS: '-trimpath -buildvcs=false -mod=readonly'},
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return status === 0 ? stdout : null;
}
