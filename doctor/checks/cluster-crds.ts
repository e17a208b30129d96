/** Our CustomResourceDefinitions: there, served, and of this version. */
import {isDeepStrictEqual} from 'node:util';
import {parse} from 'yaml';
import {definitionTexts} from '../../cluster/crd/definitions.ts';
import type {Check} from '../check.ts';
import {grave, minor, verdictOf, type Problem} from '../outcome.ts';
import {PATHS, type Conditioned} from '../cluster/kinds.ts';
import type {ClusterWorld} from '../cluster/world.ts';

interface Definition extends Conditioned {
  readonly spec: {readonly versions: readonly {readonly name: string; readonly schema?: {openAPIV3Schema?: unknown}}[]};
}

const UPGRADE = 'Apply those of this version: kubectl apply --server-side -f charts/sallyport/crds.';

export const clusterCrds: Check<ClusterWorld> = {
  name: 'cluster.crds',
  looks: 'CustomResourceDefinitions against those of this version',
  run: async ({api}) => {
    const ours = [...definitionTexts().values()].map((text) => parse(text) as Definition);
    const theirs = new Map((await api.list<Definition>(PATHS.definitions)).map((one) => [one.metadata.name, one]));
    const problems = ours.flatMap((wanted) => compare(wanted, theirs.get(wanted.metadata.name)));
    return verdictOf(problems, `all ${ours.length} are of this version`);
  },
};

function compare(wanted: Definition, found: Definition | undefined): Problem[] {
  const {name} = wanted.metadata;
  if (found === undefined) return [grave(`${name} is not there`, UPGRADE)];
  const established = found.status?.conditions?.some(({type, status}) => type === 'Established' && status === 'True');
  if (established !== true) return [grave(`${name} is not established`, `See kubectl describe crd ${name}.`)];
  for (const version of wanted.spec.versions) {
    const there = found.spec.versions.find((one) => one.name === version.name);
    if (there === undefined) return [grave(`${name} has no version ${version.name}`, UPGRADE)];
    if (!isDeepStrictEqual(there.schema, version.schema))
      return [
        minor(`${name} ${version.name} has another schema: it may drop or refuse what this version reads`, UPGRADE),
      ];
  }
  return [];
}
