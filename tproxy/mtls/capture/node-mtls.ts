/** The mTLS table of this node: put into the kernel, kept there, and told who is enrolled. The rules outlive the process. */
import type {Enrolment} from '../enrolment.ts';
import {SallyportError} from '../../../runtime/errors.ts';
import type {WorkloadEntry} from '../../../sources/workload-table.ts';
import {mustRun, type Commands} from '../../capture/commands.ts';
import type {Marks} from '../../capture/marks.ts';
import type {Notice} from '../../capture/node-rules.ts';
import {MTLS_COUNTERS, MTLS_REMOVAL, MTLS_TABLE, mtlsChanges, mtlsTable} from './node-table.ts';
import type {MtlsCapture, MtlsMember} from './node-table.ts';

export interface MtlsRulesOptions {
  readonly port: number;
  readonly marks: Marks;
  readonly commands: Commands;
  readonly onNotice: Notice;
  /** How often the table is compared with what it should be. Default 10 s. */
  readonly checkIntervalMs?: number;
}

export interface MtlsKnown {
  readonly entries: readonly WorkloadEntry[];
  readonly enrolment: Enrolment;
  /** Addresses of pods of this node, with the interface that their packets arrive by; null: not known. */
  readonly here: ReadonlyMap<string, string | null>;
  readonly strictCidrs: readonly string[];
}

export interface MtlsRules {
  /** Resolves when the kernel knows; rejects, with the former table still there, where it refuses. */
  update(known: MtlsKnown): Promise<void>;
  /** Puts back what somebody else changed; resolves with whether somebody did. */
  check(): Promise<boolean>;
  /** Packets by counter. */
  counters(): Promise<Map<string, number>>;
  /** Takes the table away. */
  release(): Promise<void>;
  /** Stops looking; the rules stay. */
  close(): Promise<void>;
}

const CHECK_INTERVAL_MS = 10_000;
const TABLE = MTLS_TABLE.split(' ');

export function createMtlsRules(options: MtlsRulesOptions): MtlsRules {
  return new Rules(options);
}

class Rules implements MtlsRules {
  readonly #options: MtlsRulesOptions;
  #applied: MtlsCapture | null = null;
  #listing = '';
  readonly #counted = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  /** One after another: two changes made from the same state would undo each other. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: MtlsRulesOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#look(), options.checkIntervalMs ?? CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  update(known: MtlsKnown): Promise<void> {
    return this.#next(async () => {
      const capture = this.#captureOf(known);
      const changes = this.#applied === null ? null : mtlsChanges(this.#applied, capture);
      if (changes?.length === 0) return;
      if (changes !== null) {
        const outcome = await this.#options.commands.run(['nft', '-f', '-'], `${changes.join('\n')}\n`);
        // Else the table is not as we left it: the whole of it then.
        if (outcome.status === 0) return this.#now(capture);
      }
      await this.#replace(capture);
    });
  }

  check(): Promise<boolean> {
    return this.#next(async () => {
      if (this.#applied === null || (await this.#list()) === this.#listing) return false;
      await this.#replace(this.#applied);
      this.#options.onNotice('warn', 'mtls.drift', `table ${MTLS_TABLE} was changed by somebody else and is put back`);
      return true;
    });
  }

  async counters(): Promise<Map<string, number>> {
    const now = await this.#read();
    for (const [name, packets] of this.#counted) now.set(name, (now.get(name) ?? 0) + packets);
    return now;
  }

  release(): Promise<void> {
    clearInterval(this.#timer);
    return this.#next(async () => {
      await mustRun(this.#options.commands, ['nft', '-f', '-'], MTLS_REMOVAL);
      this.#applied = null;
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#queue;
  }

  #captureOf({entries, enrolment, here, strictCidrs}: MtlsKnown): MtlsCapture {
    const members: MtlsMember[] = [];
    const others: string[] = [];
    // An address that two claim is one element.
    for (const ip of new Set(entries.flatMap(({ips}) => ips))) {
      const enrolled = enrolment.of(ip);
      if (enrolled === null) others.push(ip);
      else {
        const at = {interface: here.get(ip) ?? null, here: here.has(ip)};
        members.push({ip, ...at, strict: enrolled.mode === 'Strict', plainPorts: [...enrolled.plainPorts]});
      }
    }
    const {port, marks} = this.#options;
    return {members, others, strictCidrs, port, marks};
  }

  async #replace(capture: MtlsCapture): Promise<void> {
    const counted = this.#applied === null ? new Map<string, number>() : await this.#read();
    await mustRun(this.#options.commands, ['nft', '-f', '-'], mtlsTable(capture));
    for (const [name, packets] of counted) this.#counted.set(name, (this.#counted.get(name) ?? 0) + packets);
    await this.#now(capture);
  }

  async #now(capture: MtlsCapture): Promise<void> {
    this.#applied = capture;
    this.#listing = await this.#list();
  }

  async #list(): Promise<string> {
    const outcome = await this.#options.commands.run(['nft', '-s', 'list', 'table', ...TABLE]);
    return outcome.status === 0 ? outcome.stdout : '';
  }

  async #read(): Promise<Map<string, number>> {
    const outcome = await this.#options.commands.run(['nft', '-j', 'list', 'counters', 'table', ...TABLE]);
    const found = new Map<string, number>(Object.keys(MTLS_COUNTERS).map((name) => [name, 0]));
    if (outcome.status !== 0) return found;
    const {nftables} = JSON.parse(outcome.stdout) as {nftables: {counter?: {name: string; packets: number}}[]};
    for (const {counter} of nftables) if (counter !== undefined) found.set(counter.name, counter.packets);
    return found;
  }

  async #look(): Promise<void> {
    await this.check().catch((error: unknown) =>
      this.#options.onNotice(
        'error',
        'mtls.failed',
        error instanceof SallyportError ? error.describe() : String(error),
      ),
    );
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(work);
    this.#queue = run.catch(() => undefined);
    return run;
  }
}
