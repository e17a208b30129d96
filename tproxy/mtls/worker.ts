/** The wire in a worker: fed with whole states, as the rest of it. */
import {createServer, type Server, type Socket} from 'node:net';
import type {Address, Endpoint} from '../../policy/index.ts';
import type {Journal} from '../../runtime/journal.ts';
import {SallyportError} from '../../runtime/errors.ts';
import {endpointsOf} from '../../sources/service-table.ts';
import {DEFAULT_MARKS} from '../capture/marks.ts';
import {connectMarked, listenTransparent, remark, reset, type DialOptions} from '../capture/sockets.ts';
import {asNodeMark} from './capture/marks.ts';
import {enrolment, type Enrolment} from './enrolment.ts';
import type {Identity} from './identity/identity.ts';
import type {MtlsState} from './node.ts';
import {ON_NODE, type Place} from './place.ts';
import type {MtlsConfig} from './settings.ts';
import {dialled} from './wire/dialled.ts';
import {Dials} from './wire/dials.ts';
import {boundedNotices} from './wire/notices.ts';
import type {WireServices} from './wire/services.ts';
import {createWire, type Wire} from './wire/wire.ts';

/** Connections that wait to be accepted, in the kernel. */
const BACKLOG = 4096;

export class WorkerMtls {
  readonly #config: MtlsConfig;
  readonly #place: Place;
  readonly #services: WireServices;
  readonly #wire: Wire;
  readonly #servers: Server[] = [];
  readonly #dials: Dials;
  /** Living dials under the node's own address, by whom they are for. */
  readonly #asNode = new Map<Socket, Address>();
  #state: MtlsState;
  #enrolment: Enrolment;
  /** `NAMESPACE/ADDRESS`. */
  #pods: ReadonlySet<string>;
  /** Who is told of what cannot be accepted, while listening waits for a whole state. */
  #awaited: ((error: Error) => void) | null = null;

  constructor(
    config: MtlsConfig,
    state: MtlsState,
    journal: Journal,
    count: (event: string) => void,
    place: Place = ON_NODE,
  ) {
    this.#config = config;
    this.#place = place;
    this.#state = state;
    this.#enrolment = enrolment(state.entries, config);
    this.#pods = podsOf(state);
    this.#services = {
      enrolment: () => this.#enrolment,
      isHere: (address) => this.#state.here.has(address),
      identityOf: (address) => this.#identityOf(address),
      dial: (source, destination) => place.dial(source, destination, this.#state.here),
      journal: boundedNotices(journal),
      count,
      limits: place.limits,
    };
    this.#wire = createWire(this.#services);
    this.#dials = new Dials(this.#services);
  }

  /** What a pod shows is its own: a certificate of another ServiceAccount (of files, say) is none. */
  #identityOf(address: Address): Identity | null {
    const identity = this.#state.identities.get(this.#state.here.get(address) ?? '') ?? null;
    if (identity === null || identity.notAfterMs <= Date.now()) return null;
    return identity.spiffeId === this.#enrolment.of(address)?.spiffeId ? identity : null;
  }

  get listening(): boolean {
    return this.#servers.length > 0;
  }

  /**
   * Listens, or throws SallyportError `PortInUse`, `MissingCapability` ... Before everybody is known it only remembers to: the
   * kernel may hold an earlier run's table, and hand over what we would let by for not knowing whose it is. Until then SYNs of
   * Strict pods are dropped and come again.
   */
  async listen(onError: (error: Error) => void): Promise<void> {
    if (!this.#state.whole) {
      this.#awaited = onError;
      return;
    }
    const {ports, transparent} = this.#place;
    for (const {ip, port} of ports.flatMap((port) => ['0.0.0.0', '::'].map((ip) => ({ip, port})))) {
      const options = {allowHalfOpen: true, noDelay: true, pauseOnConnect: true};
      const server = createServer(options, (socket) => this.#accept(socket));
      const fd = listenTransparent({ip, port, transparent, reusePort: true, backlog: BACKLOG});
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({fd}, () => {
          server.off('error', reject);
          resolve();
        });
      });
      server.on('error', onError);
      this.#servers.push(server);
    }
  }

  #accept(socket: Socket): void {
    const {remoteAddress, remotePort} = socket;
    const original = remoteAddress === undefined ? null : this.#place.originalOf(socket, this.#state.here);
    // Gone before it was accepted, or led to us by nobody.
    if (remoteAddress === undefined || original === null) {
      socket.on('error', () => undefined);
      reset(socket);
      return;
    }
    this.#wire.accept(socket, {ip: remoteAddress, port: remotePort!}, original);
  }

  /** Whether the address is an enrolled pod's of another node, or leads to enrolled pods: who is there has to see the pod's own address. */
  isPeer(address: Address): boolean {
    if (this.#state.services.has(address)) return true;
    return !this.#state.here.has(address) && this.#enrolment.of(address) !== null;
  }

  /** For the relay: wrapped where both ends are enrolled (dialled()), else as connectTransparent(). Throws as both of them do. */
  dial(options: DialOptions): Socket {
    const source = this.#place.sourceOf(options.source, options.destination, this.#state.here);
    const destination = this.#endpointOf(options.destination, source.ip);
    if (!this.#state.whole)
      throw new SallyportError('NotKnownYet', 'who is enrolled is not known yet', 'It is asked for again by itself.');
    const wrapped = dialled(this.#services, source, destination);
    const socket = wrapped ?? this.#place.dialPlain({...options, destination});
    const peerId = wrapped === null ? null : (this.#enrolment.of(destination.ip)?.spiffeId ?? null);
    const protectedBy = wrapped === null ? 'plain' : 'mtls';
    this.#dials.follow(socket, {direction: 'out', source, destination}, {protectedBy, peerId});
    return socket;
  }

  /**
   * For the relay, on a node: what is not to see the pod's own address. It may become a pod's behind kube-proxy (a load balancer's),
   * so the rules are told for whom it is.
   */
  dialAsNode({source, destination}: Pick<DialOptions, 'source' | 'destination'>): Socket {
    const socket = connectMarked(destination, this.#asNodeMark(source.ip));
    this.#asNode.set(socket, source.ip);
    socket.once('close', () => this.#asNode.delete(socket));
    return socket;
  }

  #asNodeMark(source: Address): number {
    const strict = !this.#state.whole || this.#enrolment.of(source)?.mode === 'Strict';
    return asNodeMark(DEFAULT_MARKS, strict ? 'strict' : 'other');
  }

  /**
   * Of a Service with enrolled pods behind it one that takes connections, as kube-proxy would: it could not be wrapped for whoever
   * that takes. Only pods of the Service's own namespace are taken: who writes endpoints by hand could name any address
   * (CVE-2021-25740), and the client shows its certificate there. And another one than who asks: what comes to a pod from its own
   * address is dropped, unless kube-proxy hides that.
   */
  #endpointOf(destination: Endpoint, asks: Address): Endpoint {
    const endpoints = endpointsOf(destination, this.#state.services);
    if (!endpoints.some(({ip}) => this.#enrolment.of(ip) !== null)) return destination;
    const namespace = this.#state.services.get(destination.ip)?.namespace;
    const pods = endpoints.filter(({ip}) => ip !== asks && this.#pods.has(`${namespace}/${ip}`));
    return pods[Math.floor(Math.random() * pods.length)] ?? destination;
  }

  /** One that is not whole changes nothing: what was known is better than half of what is. */
  apply(state: MtlsState): void {
    if (!state.whole) return;
    const before = new Map([...this.#state.identities.values()].map((identity) => [identity.chainPem, identity]));
    // The same object as long as nothing changed: its TLS context is kept by it.
    const identities = new Map(
      [...state.identities].map(([uid, identity]) => {
        const known = before.get(identity.chainPem);
        return [uid, known?.rootsPem === identity.rootsPem ? known : identity];
      }),
    );
    this.#state = {...state, identities};
    this.#enrolment = enrolment(state.entries, this.#config);
    this.#pods = podsOf(state);
    this.#wire.recheck();
    this.#dials.recheck();
    for (const [socket, source] of this.#asNode) remark(socket, this.#asNodeMark(source));
    const onError = this.#awaited;
    this.#awaited = null;
    if (onError !== null) this.listen(onError).catch(onError);
  }

  connections(): number {
    return this.#wire.connections();
  }

  /** SYNs are dropped from now on, and wait for our successor. */
  stopListening(): void {
    this.#awaited = null;
    for (const server of this.#servers.splice(0)) server.close();
  }

  close(): void {
    this.#wire.close();
  }
}

const podsOf = ({entries}: MtlsState): ReadonlySet<string> =>
  new Set(entries.flatMap(({ips, workload}) => ips.map((ip) => `${workload.namespace}/${ip}`)));
