/** `npm run build`: the JavaScript of the package, in dist/. Node does not strip types below node_modules, so a package cannot ship the sources alone. */
import {spawnSync} from 'node:child_process';
import {rmSync} from 'node:fs';

rmSync('dist', {recursive: true, force: true});
const {status} = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json'], {stdio: 'inherit'});
process.exitCode = status ?? 1;
