/** The target `tproxy`: the real process, captured pods, real clients and servers, in network namespaces. */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {PORTS} from '../../../../runtime/names.ts';
import {createLab, hasLabPrivileges, type Lab} from '../../../lab/index.ts';
import {Clients, podName} from '../../client/clients.ts';
import {objectName, withDocuments} from '../../documents.ts';
import type {Case, DocumentValue, Step, WorkloadSpec} from '../../format/case.ts';
import {NOTHING_OBSERVED, type Observation} from '../../observation.ts';
import {worldAddresses} from '../../world/addresses.ts';
import {createAuthorities, type Authorities} from '../../world/certificates.ts';
import {RESOLVER, startWorld, type StandingWorld} from '../../world/world.ts';
import type {OpenOptions, Target, TargetWorld} from '../target.ts';
import {afterwards, decisionOf} from '../role/decision.ts';
import {RoleProcess, writeFiles, type RoleFiles} from '../role/process.ts';

let authorities: Authorities | null = null;

export const tproxyTarget: Target = {
  name: 'tproxy',
  scope: {network: true},
  parallel: 2,
  unavailable() {
    const privileges = hasLabPrivileges();
    return privileges.ok ? null : privileges.missing;
  },
  skips: () => null,
  open: (world, options) => TproxyWorld.open(world, options),
};

class TproxyWorld implements TargetWorld {
  readonly #case: Case;
  readonly #lab: Lab;
  readonly #options: OpenOptions;
  readonly #world: StandingWorld;
  readonly #proxy: RoleProcess;
  readonly #files: RoleFiles;
  readonly #clients: Clients;
  #documents: readonly DocumentValue[];

  private constructor(parts: {
    world: Case;
    lab: Lab;
    options: OpenOptions;
    standing: StandingWorld;
    proxy: RoleProcess;
    files: RoleFiles;
    worldCa: string;
  }) {
    this.#case = parts.world;
    this.#lab = parts.lab;
    this.#options = parts.options;
    this.#world = parts.standing;
    this.#proxy = parts.proxy;
    this.#files = parts.files;
    this.#documents = parts.world.documents;
    this.#clients = new Clients({
      world: parts.world,
      lab: parts.lab,
      addresses: parts.standing.addresses,
      explicit: {host: parts.lab.node.ips[0]!, port: PORTS.explicit},
      ca: parts.proxy.caCertificate(parts.files),
      worldCa: parts.worldCa,
      directory: parts.files.directory,
    });
  }

  static async open(world: Case, options: OpenOptions): Promise<TproxyWorld> {
    authorities ??= createAuthorities();
    const podOf = (spec: WorkloadSpec): string => podName(world, spec);
    const lab = await createLab({name: 'cf', pods: world.workloads.map((spec) => ({name: podOf(spec)}))});
    const directory = mkdtempSync(join(tmpdir(), 'sallyport-conformance-'));
    let standing: StandingWorld | null = null;
    try {
      lab.setResolver('node', RESOLVER);
      for (const name of lab.pods.keys()) lab.setResolver(name, RESOLVER);
      standing = await startWorld(world, lab, authorities, worldAddresses(world), options.say);
      const files = writeFiles(directory, world, world.documents, authorities.trusted, lab, podOf);
      const proxy = await RoleProcess.start(lab, 'tproxy', files, FLAGS(files));
      options.say(`${world.name}: ready, files in ${directory}, namespaces sp-${lab.id}-*`);
      return new TproxyWorld({world, lab, options, standing, proxy, files, worldCa: authorities.trusted});
    } catch (error) {
      await standing?.close();
      await lab.close();
      if (!options.keep) rmSync(directory, {recursive: true, force: true});
      throw error;
    }
  }

  async run(step: Step): Promise<Observation> {
    const from = this.#proxy.log.lines.length;
    this.#world.ledger.take();
    const {action, expect, workload} = step;
    if (action.kind === 'apply') {
      const next = withDocuments(this.#documents, action.documents);
      const {error, refused} = await this.#proxy.apply(this.#files, next);
      // A bad document is gone with the next change; the good one that it did not replace stays, and so do its neighbours.
      const good = action.documents.filter((document) => error === null || !refused.has(objectName(document)));
      this.#documents = withDocuments(this.#documents, refused.has(null) ? [] : good);
      return {
        ...NOTHING_OBSERVED,
        load: {error},
        sightings: this.#world.ledger.take(),
        notes: this.#proxy.log.since(from),
      };
    }
    const attempt = await this.#clients.attempt(step);
    const traffic = {
      from,
      source: attempt.source,
      workload: `${workload.namespace}/${workload.name}`,
      answer: attempt.answer,
      responses: attempt.responses?.length ?? 0,
    };
    const {log} = this.#proxy;
    const decision = await afterwards(log, traffic, await decisionOf(log, traffic, expect), expect);
    // A server that was reached without an answer to the client may be a moment behind.
    if (typeof expect.reached === 'string') await this.#world.ledger.until(expect.reached, LATE_SERVER_MS);
    return {
      ...NOTHING_OBSERVED,
      decision,
      answer: attempt.answer,
      responses: attempt.responses ?? [],
      closed: attempt.closed ?? null,
      connectionWasClosed: attempt.connectionWasClosed ?? false,
      sightings: this.#world.ledger.take(),
      notes: [...(attempt.notes ?? []), ...this.#proxy.log.since(from)],
    };
  }

  late(): ReturnType<TargetWorld['late']> {
    return this.#world.ledger.take();
  }

  async close(): Promise<void> {
    this.#clients.close();
    await this.#proxy.stop();
    await this.#world.close();
    await this.#lab.close();
    if (this.#options.keep) console.log(`      ${this.#case.name}: files are in ${this.#files.directory}`);
    else rmSync(this.#files.directory, {recursive: true, force: true});
  }
}

const FLAGS = (files: RoleFiles): string[] => [
  ...['--upstream-ca', files.upstreamCa, '--workers', '1', '--capture', 'node'],
  ...['--listen', `*:${PORTS.captured}`, '--explicit', `*:${PORTS.explicit}`],
];

/** A sighting is written down when the bytes arrive; a connection that is closed at once may outrun it. */
const LATE_SERVER_MS = 1000;
