/**
 * What the agent must not forget when it ends, or when the node starts anew: whose capture is latched, and which addresses are
 * pods' (docs/adr/0016). One small file, replaced as a whole.
 */
import {mkdirSync, readFileSync} from 'node:fs';
import {open, rename} from 'node:fs/promises';
import {join} from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import {SallyportError} from '../runtime/errors.ts';

export interface NodeMemory {
  /** UIDs of pods that stay captured while they live. */
  readonly latched: readonly string[];
  /** The node's own pod addresses, as the API server said last. */
  readonly podCidrs: readonly string[];
}

const NOTHING: NodeMemory = {latched: [], podCidrs: []};
const FILE = 'node.json';
/** Nobody else reads it, and nobody else must write it. */
const DIR_MODE = 0o700;
const FILE_MODE = 0o600;

export class NodeState {
  readonly #path: string | null;
  #memory: NodeMemory = NOTHING;
  #latched: ReadonlySet<string> = new Set();
  #written: NodeMemory = NOTHING;
  #writing: Promise<void> = Promise.resolve();

  /** `dir` null: nothing outlives the process. Throws SallyportError `StateUnreadable`. */
  constructor(dir: string | null) {
    this.#path = dir === null ? null : join(dir, FILE);
    if (this.#path === null) return;
    try {
      const memory = read(this.#path);
      this.#memory = this.#written = memory;
      this.#latched = new Set(memory.latched);
    } catch (cause) {
      throw new SallyportError(
        'StateUnreadable',
        `--state-dir ${dir}: ${(cause as Error).message}`,
        `Give --state-dir a folder on the node's disk. Where ${FILE} is damaged, remove it: pods that took their label off while they ran are not known as captured then.`,
        {cause},
      );
    }
  }

  /** The same, with the folder made where it is not there. */
  static keptIn(dir: string | null): NodeState {
    try {
      if (dir !== null) mkdirSync(dir, {recursive: true, mode: DIR_MODE});
    } catch (cause) {
      throw new SallyportError(
        'StateUnreadable',
        `--state-dir ${dir} cannot be made: ${(cause as Error).message}`,
        "Give --state-dir a folder on the node's disk that we may write.",
        {cause},
      );
    }
    return new NodeState(dir);
  }

  get memory(): NodeMemory {
    return this.#memory;
  }

  isLatched(uid: string): boolean {
    return this.#latched.has(uid);
  }

  /** Resolves when what was remembered is on the disk, or could not be written. */
  written(): Promise<void> {
    return this.#writing;
  }

  /** In force at once. Resolves when it is on the disk; rejects where it cannot be written. */
  remember(memory: NodeMemory): Promise<void> {
    const sorted = {latched: [...memory.latched].sort(), podCidrs: [...memory.podCidrs]};
    this.#memory = sorted;
    this.#latched = new Set(sorted.latched);
    const write = this.#writing.then(async () => {
      if (this.#path === null || isDeepStrictEqual(this.#written, this.#memory)) return;
      const now = this.#memory;
      await replace(this.#path, `${JSON.stringify(now, null, 1)}\n`);
      this.#written = now;
    });
    this.#writing = write.catch(() => undefined);
    return write;
  }
}

function read(path: string): NodeMemory {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return NOTHING;
    throw error;
  }
  const {latched, podCidrs} = JSON.parse(text) as Partial<NodeMemory>;
  if (!isTexts(latched) || !isTexts(podCidrs)) throw new Error(`${path} is not what we wrote`);
  return {latched, podCidrs};
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === 'string');

/** A power cut leaves the old file or the new one. */
async function replace(path: string, text: string): Promise<void> {
  const beside = `${path}.new`;
  const file = await open(beside, 'w', FILE_MODE);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(beside, path);
}
