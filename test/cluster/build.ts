/** `node test/cluster/build.ts [api|node…]`: builds the cluster's programs, or says nothing where they are there. */
import {buildPrograms, type Part} from './binaries.ts';

const parts = process.argv.slice(2);
buildPrograms(parts.length === 0 ? ['api'] : (parts as Part[]), (text) => process.stderr.write(`cluster: ${text}\n`));
