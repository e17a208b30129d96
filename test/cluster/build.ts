/** `node test/cluster/build.ts`: builds the cluster's programs, or says that they are there. */
import {buildPrograms} from './binaries.ts';

buildPrograms((text) => process.stderr.write(`cluster: ${text}\n`));
