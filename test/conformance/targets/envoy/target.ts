/** The target `envoy`: a real Envoy takes the captured traffic, inspects TLS with leaves minted on demand, and asks `sallyport extauthz`. */
import {mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {ENVOY_VERSIONS, envoyBinary, startEnvoy, type Envoy} from '../../../envoy/index.ts';
import {createLab, hasLabPrivileges, type Lab} from '../../../lab/index.ts';
import {Clients, podName} from '../../client/clients.ts';
import {objectName, withDocuments} from '../../documents.ts';
import type {Case, DocumentValue, Step} from '../../format/case.ts';
import {NOTHING_OBSERVED, type Observation} from '../../observation.ts';
import {worldAddresses} from '../../world/addresses.ts';
import {createAuthorities, type Authorities} from '../../world/certificates.ts';
import {RESOLVER, startWorld, type StandingWorld} from '../../world/world.ts';
import {decisionOf} from '../role/decision.ts';
import {RoleProcess, writeFiles, type RoleFiles} from '../role/process.ts';
import type {OpenOptions, Target, TargetWorld} from '../target.ts';
import {bootstrap, watchedFiles, type EnvoyPlaces} from './config.ts';
import {refusedByCodec, upstreamFailure} from './failure.ts';

let authorities: Authorities | null = null;

/** Envoy's listener for what is captured: Istio's, so that it is no port of ours. */
const CAPTURED_PORT = 15_001;
/** FORMAT: the next steps see a change within this time. */
const APPLY_TIMEOUT_MS = 2000;
const POLL_MS = 20;
/** A sighting is written down when the bytes arrive; a connection that is closed at once may outrun it. */
const LATE_SERVER_MS = 1000;

export const envoyTarget: Target = {
  name: 'envoy',
  scope: {network: true},
  parallel: 2,
  unavailable() {
    const privileges = hasLabPrivileges();
    if (!privileges.ok) return privileges.missing;
    const version = ENVOY_VERSIONS[0]!;
    return envoyBinary(version) === null ? `Envoy ${version} (node cli/setup.mjs test installs it)` : null;
  },
  skips({action}) {
    if (action.kind === 'ping' || action.kind === 'udp')
      return `a ${action.kind} step is the capture's: Envoy is given TCP`;
    if (action.kind === 'request' && action.via === 'explicit') return 'the explicit port is tproxy’s (FORMAT)';
    return null;
  },
  open: (world, options) => EnvoyWorld.open(world, options),
};

interface Parts {
  readonly world: Case;
  readonly lab: Lab;
  readonly options: OpenOptions;
  readonly standing: StandingWorld;
  readonly files: RoleFiles;
  readonly places: EnvoyPlaces;
  readonly extauthz: RoleProcess;
  readonly envoy: Envoy;
  readonly worldCa: string;
}

class EnvoyWorld implements TargetWorld {
  readonly #parts: Parts;
  readonly #clients: Clients;
  #documents: readonly DocumentValue[];

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.#documents = parts.world.documents;
    this.#clients = new Clients({
      world: parts.world,
      lab: parts.lab,
      addresses: parts.standing.addresses,
      explicit: {host: parts.lab.node.ips[0]!, port: CAPTURED_PORT},
      ca: parts.extauthz.caCertificate(parts.files),
      worldCa: parts.worldCa,
      directory: parts.files.directory,
    });
  }

  static async open(world: Case, options: OpenOptions): Promise<EnvoyWorld> {
    authorities ??= createAuthorities();
    const lab = await createLab({name: 'ce', pods: world.workloads.map((spec) => ({name: podName(world, spec)}))});
    const directory = mkdtempSync(join(tmpdir(), 'sallyport-conformance-'));
    const started: {close(): Promise<void>}[] = [];
    try {
      lab.setResolver('node', RESOLVER);
      for (const name of lab.pods.keys()) lab.setResolver(name, RESOLVER);
      const addresses = worldAddresses(world);
      const standing = await startWorld(world, lab, authorities, addresses, options.say);
      started.unshift(standing);
      const files = writeFiles(directory, world, world.documents, authorities.trusted, lab, (spec) =>
        podName(world, spec),
      );
      const places: EnvoyPlaces = {
        port: CAPTURED_PORT,
        check: join(directory, 'check.sock'),
        sds: join(directory, 'sds.sock'),
        roots: files.upstreamCa,
        watched: join(directory, 'watched'),
        addresses,
        ips: (workload) => lab.pod(podName(world, workload)).ips,
      };
      const flags = ['--listen', `unix:${places.check}`, '--sds', `unix:${places.sds}`];
      const extauthz = await RoleProcess.start(lab, 'extauthz', files, flags);
      started.unshift({close: () => extauthz.stop()});
      mkdirSync(places.watched);
      writeWatched(world, world.documents, places);
      const envoy = await startEnvoy(lab, 'node', bootstrap(places));
      started.unshift({close: () => envoy.stop()});
      await capture(lab);
      options.say(`${world.name}: ready, files in ${directory}, namespaces sp-${lab.id}-*`);
      return new EnvoyWorld({
        world,
        lab,
        options,
        standing,
        files,
        places,
        extauthz,
        envoy,
        worldCa: authorities.trusted,
      });
    } catch (error) {
      for (const one of started) await one.close();
      await lab.close();
      if (!options.keep) rmSync(directory, {recursive: true, force: true});
      throw error;
    }
  }

  async run(step: Step): Promise<Observation> {
    const {standing, extauthz, envoy} = this.#parts;
    const from = extauthz.log.lines.length;
    const logged = envoy.accessLog().length;
    standing.ledger.take();
    const {action, expect, workload} = step;
    if (action.kind === 'apply') {
      const error = await this.#apply(action.documents);
      return {...NOTHING_OBSERVED, load: {error}, sightings: standing.ledger.take(), notes: extauthz.log.since(from)};
    }
    const attempt = await this.#clients.attempt(step);
    const traffic = {
      from,
      source: attempt.source,
      workload: `${workload.namespace}/${workload.name}`,
      answer: attempt.answer,
      responses: attempt.responses?.length ?? 0,
      redirected: true,
    };
    const decision =
      (await refusedByCodec(envoy, logged, attempt)) ?? (await decisionOf(extauthz.log, traffic, expect));
    const failure = await upstreamFailure(envoy, logged, attempt, expect);
    if (typeof expect.reached === 'string') await standing.ledger.until(expect.reached, LATE_SERVER_MS);
    return {
      ...NOTHING_OBSERVED,
      decision:
        decision === null || failure === null || decision.verdict === 'deny'
          ? decision
          : {...decision, reason: failure},
      answer: attempt.answer,
      responses: attempt.responses ?? [],
      closed: attempt.closed ?? null,
      connectionWasClosed: attempt.connectionWasClosed ?? false,
      sightings: standing.ledger.take(),
      notes: [
        ...(attempt.notes ?? []),
        ...extauthz.log.since(from),
        ...envoy
          .accessLog()
          .slice(logged)
          .map((line) => `Envoy ${JSON.stringify(line)}`),
      ],
    };
  }

  /** What is wrong with the change; null: it is in force, in our service and in Envoy. */
  async #apply(changes: readonly DocumentValue[]): Promise<string | null> {
    const {world, files, places, extauthz, envoy} = this.#parts;
    const next = withDocuments(this.#documents, changes);
    const {error, refused} = await extauthz.apply(files, next);
    const good = changes.filter((document) => error === null || !refused.has(objectName(document)));
    this.#documents = withDocuments(this.#documents, refused.has(null) ? [] : good);
    const before = await updates(envoy);
    const changed = writeWatched(world, this.#documents, places);
    const deadline = performance.now() + APPLY_TIMEOUT_MS;
    while (changed > 0 && (await updates(envoy)) < before + changed) {
      if (performance.now() > deadline) return `Envoy did not take the change: ${envoy.said().trim()}`;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return error;
  }

  late(): ReturnType<TargetWorld['late']> {
    return this.#parts.standing.ledger.take();
  }

  async close(): Promise<void> {
    const {world, lab, options, standing, files, extauthz, envoy} = this.#parts;
    this.#clients.close();
    await envoy.stop();
    await extauthz.stop();
    await standing.close();
    await lab.close();
    if (options.keep) console.log(`      ${world.name}: files are in ${files.directory}`);
    else rmSync(files.directory, {recursive: true, force: true});
  }
}

/** Writes what Envoy watches, each file at once, and only where it is another; answers how many were. */
function writeWatched(world: Case, documents: readonly DocumentValue[], places: EnvoyPlaces): number {
  const {listeners, clusters} = watchedFiles(world, documents, places);
  let changed = 0;
  for (const [name, value] of [
    ['clusters.json', clusters],
    ['listeners.json', listeners],
  ] as const) {
    const file = join(places.watched, name);
    const text = JSON.stringify(value, null, 2);
    if (readOr(file, '') === text) continue;
    changed++;
    writeFileSync(`${places.watched}.next`, text);
    renameSync(`${places.watched}.next`, file);
  }
  return changed;
}

function readOr(file: string, otherwise: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return otherwise;
  }
}

/** How many changes of its files Envoy has taken. */
async function updates(envoy: Envoy): Promise<number> {
  const stats = await envoy.stats('^(listener_manager.lds|cluster_manager.cds)\\.update_success$');
  return [...stats.values()].reduce((sum, n) => sum + n, 0);
}

/** What pods dial over TCP, but for the resolver, goes to Envoy. */
async function capture(lab: Lab): Promise<void> {
  const pods = [...lab.pods.values()].map((pod) => `"${pod.interface}"`).join(', ');
  const rules = `table inet envoy {
  chain captured {
    type nat hook prerouting priority dstnat;
    iifname { ${pods} } ip daddr ${RESOLVER} accept
    iifname { ${pods} } meta l4proto tcp redirect to :${CAPTURED_PORT}
  }
}
`;
  const {status, stderr} = await lab.exec('node', ['nft', '-f', '-'], {stdin: rules});
  if (status !== 0) throw new Error(`nft: ${stderr}`);
}
