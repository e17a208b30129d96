/** `npm run build`: the JavaScript of the package, in dist/. Node does not strip types below node_modules, so a package cannot ship the sources alone. */
import {spawnSync} from 'node:child_process';
import {cpSync, rmSync} from 'node:fs';

rmSync('dist', {recursive: true, force: true});
const {status} = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json'], {stdio: 'inherit'});
// Generated JavaScript is not compiled: it goes along as it is, without the declarations beside it.
cpSync('extauthz/gen', 'dist/extauthz/gen', {recursive: true, filter: (path) => !path.endsWith('.d.ts')});
process.exitCode = status ?? 1;
