/** Taking away, one at a time, what was generated: each must be missed. */
import type {Generated} from '../../mesh-config/objects.ts';

export interface Variant {
  /** `EnvoyFilter app/sallyport-sidecar-tcp patch 2 (MERGE NETWORK_FILTER)`. */
  readonly without: string;
  readonly objects: readonly Generated[];
}

interface Patch {
  readonly applyTo: string;
  readonly patch: {readonly operation: string};
}

/** Each object, and each patch of an EnvoyFilter that has several. */
export function ablations(objects: readonly Generated[]): readonly Variant[] {
  return objects.flatMap((generated, i) => {
    const {object} = generated;
    const name = `${object.kind} ${object.metadata.namespace}/${object.metadata.name}`;
    const whole = {without: name, objects: objects.filter((_, j) => j !== i)};
    const patches = (object.spec['configPatches'] ?? []) as readonly Patch[];
    if (patches.length < 2) return [whole];
    const parts = patches.map(({applyTo, patch}, n) => ({
      without: `${name} patch ${n} (${patch.operation} ${applyTo})`,
      objects: objects.with(i, {
        ...generated,
        object: {...object, spec: {...object.spec, configPatches: patches.filter((_, m) => m !== n)}},
      }),
    }));
    return [whole, ...parts];
  });
}
