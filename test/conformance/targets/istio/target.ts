/** The target `istio`: a real istiod tells the Envoy beside each workload what `sallyport mesh-config generate` made; it asks `sallyport extauthz`. */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {ENVOY_VERSIONS, envoyBinary, type Envoy} from '../../../envoy/index.ts';
import {createLab, hasLabPrivileges, type Lab} from '../../../lab/index.ts';
import {istioProgram} from '../../../mesh/binaries.ts';
import {startIstiod} from '../../../mesh/istiod.ts';
import {redirectPod, startSidecar} from '../../../mesh/proxy.ts';
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
import {refusedByCodec, type Watched} from './codec.ts';
import {insideOfTls} from './inside.ts';
import {identities} from './identities.ts';
import {EXTAUTHZ, GATEWAY, meshFiles, ROOT_NAMESPACE} from './mesh.ts';

let authorities: Authorities | null = null;

/** A sighting is written down when the bytes arrive; a connection that is closed at once may outrun it. */
const LATE_SERVER_MS = 1000;

/** @param atGateway whether pods leave through an egress gateway, which inspects TLS; else each by its own sidecar. */
const target = (name: 'istio' | 'istio-sidecar', atGateway: boolean): Target => ({
  name,
  scope: {network: true},
  onlyNamed: true,
  parallel: 2,
  unavailable() {
    const privileges = hasLabPrivileges();
    if (!privileges.ok) return privileges.missing;
    if (istioProgram('pilot-discovery') === null) return 'istiod (node cli/setup.mjs mesh builds it)';
    const version = ENVOY_VERSIONS[0]!;
    return envoyBinary(version) === null ? `Envoy ${version} (node cli/setup.mjs test installs it)` : null;
  },
  skips(step, world) {
    const {action} = step;
    if (action.kind === 'ping' || action.kind === 'udp')
      return `a ${action.kind} step is the capture's: Istio redirects TCP`;
    if (action.kind === 'request' && action.via === 'explicit') return 'the explicit port is tproxy’s (FORMAT)';
    if (atGateway) return null;
    return hasParents(world) ? insideOfTls(world, step) : 'sidecars alone are tried with parents';
  },
  open: (world, options) => IstioWorld.open(world, options, atGateway),
});

export const istioTarget = target('istio', true);
/** What leaves through parents leaves from the sidecars themselves. */
export const istioSidecarTarget = target('istio-sidecar', false);

const hasParents = (world: Case): boolean =>
  [...world.documents, ...world.steps.flatMap(({action}) => (action.kind === 'apply' ? action.documents : []))].some(
    ({kind}) => kind === 'UpstreamProxy',
  );

interface Parts {
  readonly world: Case;
  readonly lab: Lab;
  readonly options: OpenOptions;
  readonly standing: StandingWorld;
  readonly files: RoleFiles;
  readonly extauthz: RoleProcess;
  /** One a workload. */
  readonly sidecars: readonly Envoy[];
  /** Where TLS is inspected; null: sidecars alone ask. */
  readonly gateway: Envoy | null;
  readonly worldCa: string;
  /** In the order in which they are to be closed. */
  readonly started: readonly {close(): Promise<void>}[];
}

class IstioWorld implements TargetWorld {
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
      explicit: {host: parts.lab.node.ips[0]!, port: EXTAUTHZ.port},
      ca: parts.extauthz.caCertificate(parts.files),
      worldCa: parts.worldCa,
      directory: parts.files.directory,
    });
  }

  static async open(world: Case, options: OpenOptions, atGateway: boolean): Promise<IstioWorld> {
    authorities ??= createAuthorities();
    const pods = [...world.workloads.map((spec) => podName(world, spec)), ...(atGateway ? [GATEWAY.name] : [])];
    const lab = await createLab({name: 'ci', pods: pods.map((name) => ({name}))});
    const directory = mkdtempSync(join(tmpdir(), 'sallyport-conformance-'));
    const started: {close(): Promise<void>}[] = [];
    try {
      lab.setResolver('node', RESOLVER);
      for (const name of lab.pods.keys()) lab.setResolver(name, RESOLVER);
      const standing = await startWorld(world, lab, authorities, worldAddresses(world), options.say);
      started.unshift(standing);
      const files = writeFiles(directory, world, world.documents, authorities.trusted, lab, (spec) =>
        podName(world, spec),
      );
      const node = lab.node.ips[0]!;
      const secured = atGateway ? identities(directory, node) : null;
      if (secured !== null) started.unshift(secured);
      const plain = ['--listen', `${node}:${EXTAUTHZ.port}`, '--sds', `unix:${join(directory, 'sds.sock')}`];
      const extauthz = await RoleProcess.start(lab, 'extauthz', files, secured?.extauthz ?? plain);
      started.unshift({close: () => extauthz.stop()});
      const {environment, ...mesh} = meshFiles(world, world.documents, {
        extauthz: node,
        gateway: secured === null ? null : lab.pod(GATEWAY.name).ip4,
        roots: files.upstreamCa,
      });
      const istiod = await startIstiod(lab, {
        ...mesh,
        dualStack: true,
        namespaces: [
          ...new Set([
            EXTAUTHZ.namespace,
            ROOT_NAMESPACE,
            GATEWAY.namespace,
            ...world.workloads.map(({namespace}) => namespace),
          ]),
        ],
      });
      started.unshift({close: () => istiod.stop()});
      const sidecars: Envoy[] = [];
      let gateway: Envoy | null = null;
      if (secured !== null) {
        const options = {kind: 'router', certificates: await secured.of(GATEWAY), environment} as const;
        const envoy = await startSidecar(lab, lab.pod(GATEWAY.name), GATEWAY, node, options);
        gateway = envoy;
        started.unshift({close: () => envoy.stop()});
      }
      for (const spec of world.workloads) {
        const pod = lab.pod(podName(world, spec));
        const envoy = await startSidecar(lab, pod, spec, node, {
          environment,
          ...(secured === null ? {} : {certificates: await secured.of(spec)}),
        });
        sidecars.push(envoy);
        started.unshift({close: () => envoy.stop()});
        await redirectPod(lab, pod);
      }
      options.say(`${world.name}: ready, files in ${directory}, namespaces sp-${lab.id}-*`);
      const worldCa = authorities.trusted;
      return new IstioWorld({world, lab, options, standing, files, extauthz, sidecars, gateway, worldCa, started});
    } catch (error) {
      for (const one of started) await one.close();
      await lab.close();
      if (!options.keep) rmSync(directory, {recursive: true, force: true});
      throw error;
    }
  }

  async run(step: Step): Promise<Observation> {
    const {standing, extauthz, world} = this.#parts;
    const from = extauthz.log.lines.length;
    const {action, expect, workload} = step;
    const sidecar = this.#parts.sidecars[world.workloads.indexOf(workload)]!;
    const envoys = [sidecar, ...(this.#parts.gateway === null ? [] : [this.#parts.gateway])];
    const watched = envoys.map((envoy): Watched => ({envoy, from: envoy.accessLog().length}));
    standing.ledger.take();
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
    const asked = (): boolean => extauthz.log.find(from, 'egress.decision', {workload: traffic.workload}).length > 0;
    const decision =
      (await refusedByCodec(watched, attempt, asked)) ?? (await decisionOf(extauthz.log, traffic, expect));
    if (typeof expect.reached === 'string') await standing.ledger.until(expect.reached, LATE_SERVER_MS);
    return {
      ...NOTHING_OBSERVED,
      decision,
      answer: attempt.answer,
      responses: attempt.responses ?? [],
      closed: attempt.closed ?? null,
      connectionWasClosed: attempt.connectionWasClosed ?? false,
      sightings: standing.ledger.take(),
      notes: [
        ...(attempt.notes ?? []),
        ...extauthz.log.since(from),
        ...watched.flatMap(({envoy, from: logged}) =>
          envoy
            .accessLog()
            .slice(logged)
            .map((line) => `Envoy ${JSON.stringify(line)}`),
        ),
      ],
    };
  }

  /** What is wrong with the change; null: it is in force. */
  async #apply(changes: readonly DocumentValue[]): Promise<string | null> {
    const {files, extauthz} = this.#parts;
    const {error, refused} = await extauthz.apply(files, withDocuments(this.#documents, changes));
    const good = changes.filter((document) => error === null || !refused.has(objectName(document)));
    this.#documents = withDocuments(this.#documents, refused.has(null) ? [] : good);
    return error;
  }

  late(): ReturnType<TargetWorld['late']> {
    return this.#parts.standing.ledger.take();
  }

  async close(): Promise<void> {
    const {world, lab, options, files, started} = this.#parts;
    this.#clients.close();
    for (const one of started) await one.close();
    await lab.close();
    if (options.keep) console.log(`      ${world.name}: files are in ${files.directory}`);
    else rmSync(files.directory, {recursive: true, force: true});
  }
}
