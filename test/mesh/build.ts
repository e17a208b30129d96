/** `node test/mesh/build.ts`: builds istiod and istioctl, or does nothing where they are there. */
import {buildIstio} from './binaries.ts';

buildIstio((text) => process.stderr.write(`mesh: ${text}\n`));
