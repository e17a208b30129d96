/** What has to be written and what taken away, so that the cluster holds what was generated. Pure. */
import {OWNED, type Generated, type IstioObject} from './objects.ts';

/** An object as the cluster has it. */
export interface Live extends IstioObject {
  readonly metadata: IstioObject['metadata'] & {readonly uid: string; readonly resourceVersion: string};
}

export interface Plan {
  /** In this order: questions before what they ask about. */
  readonly write: readonly {readonly wanted: IstioObject; readonly live: Live | null}[];
  /** Before anything is written: what makes something reachable. */
  readonly removeFirst: readonly Live[];
  /** After everything is written: questions, so that nobody goes unasked while a new one takes their place. */
  readonly removeLast: readonly Live[];
  /** Objects of somebody else under a name that is ours to write. */
  readonly foreign: readonly Live[];
}

/** `live` are all objects of the kinds that are generated, of every namespace. */
export function planFor(meshEgress: string, generated: readonly Generated[], live: readonly Live[]): Plan {
  const there = new Map(live.map((object) => [idOf(object), object]));
  const wanted = new Map(generated.map(({object}) => [idOf(object), object]));
  const write = [...wanted].map(([id, object]) => ({wanted: object, live: there.get(id) ?? null}));
  const gone = live.filter((object) => isOf(meshEgress, object) && !wanted.has(idOf(object)));
  return {
    write,
    removeFirst: gone.filter(opens),
    removeLast: gone.filter((object) => !opens(object)),
    foreign: write.flatMap(({live: one}) => (one === null || isOf(meshEgress, one) ? [] : [one])),
  };
}

const opens = ({kind}: IstioObject): boolean => kind === 'ServiceEntry';

export const idOf = ({kind, metadata}: IstioObject): string => `${kind} ${metadata.namespace}/${metadata.name}`;

const isOf = (meshEgress: string, {metadata}: IstioObject): boolean =>
  metadata.labels?.[OWNED.managedBy] === 'sallyport' && metadata.labels[OWNED.meshEgress] === meshEgress;

/** `spec.priority: 10 -> 5`, one line a value that differs; the text of a value is JSON. */
export function differences(before: unknown, after: unknown, path = ''): readonly string[] {
  if (isContainer(before) && isContainer(after) && Array.isArray(before) === Array.isArray(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) =>
      differences(
        (before as Record<string, unknown>)[key],
        (after as Record<string, unknown>)[key],
        Array.isArray(before) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`,
      ),
    );
  }
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  return [`${path}: ${shown(before)} -> ${shown(after)}`];
}

const isContainer = (value: unknown): value is object => typeof value === 'object' && value !== null;
const shown = (value: unknown): string => (value === undefined ? 'absent' : JSON.stringify(value));
