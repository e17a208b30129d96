/**
 * The capture on this node: puts the ruleset into the kernel, keeps it there, and follows the members.
 * One process does this, the supervisor. The rules outlive it: a proxy that is away means no egress, never open egress.
 */
import {SallyportError} from '../../runtime/errors.ts';
import {commandFailed, mustRun, nodePath, systemCommands, type Commands} from './commands.ts';
import type {Capture, CaptureConfig, Member, PlacedMember} from './config.ts';
import {forget, forgettings} from './conntrack.ts';
import {bridgeSets, inetSets, setChanges} from './elements.ts';
import {createGuard, type Guard} from './guard.ts';
import {counterValues, heldInKernel} from './listing.ts';
import {lingering} from './lingering.ts';
import type {CaptureOptions, CaptureStatus, NodeRules, Notice} from './node-rules.ts';
import {ensureRouting, refuseSourceValidMark, removeRouting} from './routing.ts';
import {REMOVAL, ruleset} from './ruleset.ts';
import {BRIDGE_TABLE, INET_TABLE} from './tables.ts';
import {place, refuseBridgeNetfilter, requireInterfaceName} from './topology.ts';
import {createWatch, type Watch} from './watch.ts';

export type {CaptureOptions, CaptureStatus, NodeRules, Notice} from './node-rules.ts';

interface Wanted {
  readonly members: readonly Member[];
  readonly podCidrs: readonly string[];
  readonly ownCidrs: readonly string[];
}

const NOBODY: Wanted = {members: [], podCidrs: [], ownCidrs: []};

const CHECK_INTERVAL_MS = 10_000;

export function createCapture(options: CaptureOptions): NodeRules {
  return new AppliedCapture(options);
}

class AppliedCapture implements NodeRules {
  readonly #config: CaptureConfig;
  readonly #notice: Notice;
  readonly #onAddresses: () => void;
  readonly #commands: Commands;
  readonly #checkIntervalMs: number;
  /** What the kernel is led to now. */
  #current = NOBODY;
  /** What was said last. */
  #wanted = NOBODY;
  /** The last of update()s that the kernel has; null: none, or start() came since. */
  #followed: Wanted | null = null;
  readonly #keepEnded: boolean;
  #ended: readonly string[] = [];
  /** What the kernel holds; null: nothing yet. */
  #applied: Capture | null = null;
  /** The kernel's own listing after the last change. */
  #listing = '';
  #watch: Watch | null = null;
  readonly #guard: Guard;
  /** null: not tried yet. */
  #guarded: boolean | null = null;
  /** One after another: two transactions that were computed from the same state would undo each other. */
  #queue: Promise<unknown> = Promise.resolve();
  #drifts = 0;
  #lastError: string | null = null;
  /** What the counters had when the table was last replaced. */
  #counted = new Map<string, number>();

  constructor(options: CaptureOptions) {
    for (const pattern of options.config.podInterfaces) requireInterfaceName(pattern.replace(/\*$/, ''));
    this.#config = options.config;
    this.#notice = options.onNotice;
    this.#onAddresses = options.onAddresses ?? (() => undefined);
    this.#commands = options.commands ?? systemCommands(undefined, nodePath());
    this.#keepEnded = options.keepEnded ?? false;
    this.#checkIntervalMs = options.checkIntervalMs ?? CHECK_INTERVAL_MS;
    this.#guard = createGuard(this.#commands, () => void this.#again());
  }

  async present(): Promise<boolean> {
    return (await this.#commands.run(['nft', 'list', 'table', ...INET_TABLE.split(' ')])).status === 0;
  }

  start(members: readonly Member[], podCidrs: readonly string[] = [], ownCidrs: readonly string[] = []): Promise<void> {
    return this.#next(async () => {
      await this.#requireConntrack();
      // Who an earlier run held has been cut then: its connections go on.
      const before = await heldInKernel(this.#commands);
      if (this.#config.intercept === 'tproxy') {
        await refuseSourceValidMark(this.#commands);
        await ensureRouting(this.#commands, this.#config);
      }
      this.#current = {members, podCidrs, ownCidrs};
      this.#followed = null;
      const capture = await this.#place(this.#applied?.members ?? before);
      await this.#replace(capture);
      await this.#forget(before, capture.members);
      const {locked, captured} = this.status();
      this.#notice(
        'info',
        'capture.started',
        `${locked} addresses locked, ${captured} captured for Audit, by ${this.#config.intercept}`,
      );
      this.#watch ??= createWatch(this.#commands, this.#checkIntervalMs, {
        rules: () => this.#compare(),
        places: () => this.#again(),
        addresses: this.#onAddresses,
      });
    });
  }

  update(
    members: readonly Member[],
    podCidrs: readonly string[] = [],
    ownCidrs: readonly string[] = [],
  ): Promise<void> {
    this.#wanted = {members, podCidrs, ownCidrs};
    return this.#next(async () => {
      // Of several that wait the last is followed, and the kernel has then what each of them said, or newer.
      const newest = this.#wanted;
      if (newest === this.#followed) return;
      this.#current = newest;
      await this.#follow();
      this.#followed = newest;
    });
  }

  check(): Promise<boolean> {
    return this.#next(async () => {
      if (this.#applied === null) return false;
      const rerouted = this.#config.intercept === 'tproxy' && (await ensureRouting(this.#commands, this.#config));
      const changed = (await this.#list()) !== this.#listing;
      if (changed) await this.#replace(this.#applied);
      if (changed || rerouted) {
        this.#drifts++;
        const what = changed ? `table ${INET_TABLE}` : 'the ip rule or route of the capture';
        const meanwhile =
          this.#guarded === true ? 'what no rule had judged was dropped meanwhile' : 'members were not held meanwhile';
        this.#notice(
          'warn',
          'capture.drift',
          `${what} was changed by somebody else and has been put back; ${meanwhile}`,
        );
      }
      return changed || rerouted;
    });
  }

  async counters(): Promise<Map<string, number>> {
    const now = await counterValues(this.#commands);
    for (const [name, packets] of this.#counted) now.set(name, (now.get(name) ?? 0) + packets);
    return now;
  }

  status(): CaptureStatus {
    const members = this.#applied?.members ?? [];
    return {
      inForce: this.#applied !== null && this.#lastError === null,
      guarded: this.#guarded === true,
      locked: members.filter((member) => member.mode === 'locked').length,
      captured: members.filter((member) => member.mode === 'captured').length,
      sidecars: members.filter((member) => member.mode === 'sidecar').length,
      ended: this.#ended,
      unplaced: members
        .filter((member) => member.interface === null && member.mode !== 'free')
        .map((member) => member.ip),
      drifts: this.#drifts,
      lastError: this.#lastError,
    };
  }

  release(): Promise<void> {
    this.#watch?.close();
    this.#watch = null;
    return this.#next(async () => {
      this.#guard.close();
      await mustRun(this.#commands, ['nft', '-f', '-'], REMOVAL);
      await removeRouting(this.#commands, this.#config);
      this.#applied = null;
      this.#notice('info', 'capture.released', 'the capture is removed: pods that it held are free');
    });
  }

  async close(): Promise<void> {
    this.#watch?.close();
    this.#watch = null;
    await this.#queue;
    this.#guard.close();
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(async () => {
      try {
        const result = await work();
        this.#lastError = null;
        return result;
      } catch (error) {
        this.#lastError = error instanceof SallyportError ? error.describe() : String(error);
        throw error;
      }
    });
    this.#queue = run.catch(() => undefined);
    return run;
  }

  /** Interfaces or routes changed: the members are where they are now. */
  async #again(): Promise<void> {
    await this.#next(async () => {
      if (this.#applied !== null) await this.#follow();
    }).catch(() => this.#notice('error', 'capture.failed', this.#lastError ?? ''));
  }

  async #compare(): Promise<void> {
    await this.check().catch(() => this.#notice('error', 'capture.failed', this.#lastError ?? ''));
  }

  async #follow(): Promise<void> {
    const before = this.#applied;
    if (before === null)
      throw new SallyportError('CaptureNotStarted', 'the capture was not started', 'Call start() first.');
    const capture = await this.#place(before.members);
    // Both are in the text of the rules, and not in sets of members.
    const textOf = ({bridges, config}: Capture): string => JSON.stringify([bridges, config.nodeCidrs]);
    const sameText = textOf(before) === textOf(capture);
    const changes = [
      ...setChanges(INET_TABLE, inetSets(before), inetSets(capture)),
      ...(sameText ? setChanges(BRIDGE_TABLE, bridgeSets(before), bridgeSets(capture)) : []),
    ];
    if (!sameText) await this.#replace(capture);
    else if (changes.length > 0) await this.#change(changes, capture);
    else {
      this.#applied = capture;
      await this.#keepGuard(capture);
    }
    await this.#forget(before.members, capture.members);
  }

  async #change(statements: readonly string[], capture: Capture): Promise<void> {
    const outcome = await this.#commands.run(['nft', '-f', '-'], `${statements.join('\n')}\n`);
    // The table is not as we left it: the whole of it then.
    if (outcome.status !== 0) return this.#replace(capture);
    await this.#applying(capture);
  }

  async #replace(capture: Capture): Promise<void> {
    const counted = await this.counters().catch(() => this.#counted);
    const outcome = await this.#commands.run(['nft', '-f', '-'], ruleset(capture));
    if (outcome.status !== 0) throw await this.#refused(outcome);
    this.#counted = counted;
    await this.#applying(capture);
  }

  /** The kernel has the rules now: what follows from that. */
  async #applying(capture: Capture): Promise<void> {
    this.#applied = capture;
    this.#listing = await this.#list();
    await this.#keepGuard(capture);
  }

  async #keepGuard(capture: Capture): Promise<void> {
    const guarded = await this.#guard.follow(capture);
    if (!guarded && this.#guarded !== false)
      this.#notice(
        'warn',
        'capture.unguarded',
        'this kernel or nft has no tables with an owner (Linux 5.12, nftables 1.0): while somebody else flushes the rules, members are not held until we put them back',
      );
    this.#guarded = guarded;
  }

  /** A kernel without nft_tproxy says "No such file or directory" of the whole transaction: find out whether it is that. */
  async #refused(outcome: {status: number | null; stdout: string; stderr: string}): Promise<SallyportError> {
    const error = commandFailed('nft', outcome);
    if (this.#config.intercept !== 'tproxy' || error.code === 'MissingCapability') return error;
    const probe = `table inet sallyport_probe {\n  chain c {\n    type filter hook prerouting priority mangle;\n    meta nfproto ipv4 meta l4proto tcp tproxy ip to :1\n  }\n}\n`;
    const probed = await this.#commands.run(['nft', '-c', '-f', '-'], probe);
    if (probed.status === 0) return error;
    return new SallyportError(
      'KernelWithoutTproxy',
      `this kernel has no nft_tproxy (${error.message})`,
      'Load it with "modprobe nft_tproxy nft_socket", or capture by redirect, which has no original source for ClusterIPs (docs/adr/0003).',
      {cause: error},
    );
  }

  async #place(before: readonly PlacedMember[]): Promise<Capture> {
    const {members: wanted, podCidrs, ownCidrs} = this.#current;
    const {members: placed, bridges, links} = await place(this.#commands, wanted);
    const kept = this.#keepEnded ? lingering(before, wanted, links) : [];
    this.#ended = kept.map(({ip}) => ip);
    const members = [...placed, ...kept];
    if (this.#config.intercept === 'tproxy') await refuseBridgeNetfilter(this.#commands, bridges);
    const known = new Set(this.status().unplaced);
    for (const member of members)
      if (member.interface === null && member.mode !== 'free' && !known.has(member.ip))
        this.#notice(
          'warn',
          'capture.unplaced',
          `no route leads to ${member.ip}: nothing is let out from it until one does`,
        );
    const nodeCidrs = [...new Set([...this.#config.nodeCidrs, ...ownCidrs])];
    return {config: {...this.#config, nodeCidrs}, members, bridges, podCidrs};
  }

  async #forget(before: readonly PlacedMember[], after: readonly PlacedMember[]): Promise<void> {
    for (const forgetting of forgettings(before, after)) {
      const count = await forget(this.#commands, forgetting);
      if (forgetting.kind === 'cut' && count > 0)
        this.#notice(
          'info',
          'capture.cut',
          `${count} connections that ${forgetting.ip} had open before it was locked are cut`,
        );
    }
  }

  async #list(): Promise<string> {
    const listed = await Promise.all(
      [INET_TABLE, BRIDGE_TABLE].map((table) =>
        this.#commands.run(['nft', '-s', 'list', 'table', ...table.split(' ')]),
      ),
    );
    return listed.map((outcome) => (outcome.status === 0 ? outcome.stdout : '')).join('\n');
  }

  async #requireConntrack(): Promise<void> {
    // Found out now and not when the first pod is locked.
    await this.#commands.run(['conntrack', '--version']);
  }
}
