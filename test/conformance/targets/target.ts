/** What a target is to the runner. A new one (envoy, istio) is one more folder and one more line in index.ts. */
import type {Case, Step, TargetName} from '../format/case.ts';
import type {Observation, Sighting} from '../observation.ts';
import type {Scope} from '../compare.ts';

export interface OpenOptions {
  /** Leave files and namespaces behind, and say where. */
  readonly keep: boolean;
  /** Things to tell whoever watches (with -v). */
  readonly say: (text: string) => void;
}

/** A case's world, standing. */
export interface TargetWorld {
  /** Tries one step. Throws only for what is wrong with the lab, not with what is tested. */
  run(step: Step): Promise<Observation>;
  /** What servers saw since the last step ended: it belongs to that step. */
  late(): readonly Sighting[];
  close(): Promise<void>;
}

export interface Target {
  readonly name: TargetName;
  readonly scope: Scope;
  /** Run only where it is asked for by name: it needs programs that take minutes to build. */
  readonly onlyNamed?: true;
  /** How many cases may run at once. */
  readonly parallel: number;
  /** Why this target cannot run here at all; null: it can. */
  unavailable(): string | null;
  /** Why the step makes no sense here by the format's own rules; null: it is run. */
  skips(step: Step, world: Case): string | null;
  open(world: Case, options: OpenOptions): Promise<TargetWorld>;
}
