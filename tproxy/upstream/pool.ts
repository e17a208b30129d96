/**
 * Legs to servers and parents, kept for the next request of the same workload to the same name (DESIGN §4): never
 * shared wider than their key, and never used for a request whose decision does not hold their address.
 */
import {LRUCache} from 'lru-cache';
import type {Address} from '../../policy/index.ts';
import type {LegPlace} from './carry.ts';
import type {Failure, Route} from './contract.ts';
import {unreachable} from './failures.ts';
import {H1Leg} from './leg-h1.ts';
import {H2Leg} from './leg-h2.ts';
import {LIMITS} from './limits.ts';
import type {Carriage, Opener, OpenResult} from './open.ts';
import {Shares, type Share} from './shares.ts';

/** What the request can travel on. */
export type Wanted = 'h1' | 'h2';

export type Acquired =
  | {readonly kind: 'h1'; readonly leg: H1Leg; readonly reused: boolean}
  | {readonly kind: 'h2'; readonly leg: H2Leg; readonly reused: boolean}
  | {readonly failure: Failure};

export interface Demand {
  readonly route: Route;
  readonly carriage: Carriage;
  readonly wants: Wanted;
  /** Only HTTP/1.1 will do (a WebSocket). */
  readonly onlyH1: boolean;
  /** No idle leg: an idle one has just failed. */
  readonly fresh: boolean;
}

/** What is kept under one key. */
interface Slot {
  readonly key: string;
  /** Its workload's. */
  readonly share: Share;
  /** The one used last is at the end, and is used first: the others grow old and are closed. */
  readonly idle: H1Leg[];
  readonly sessions: H2Leg[];
  /** Who waits for the HTTP/2 session that is being opened; null: none is. */
  waiting: Waiter[] | null;
  /** HTTP/1 connections being opened, in use and idle: the slot is theirs as long as there is one. */
  users: number;
}

interface Waiter {
  readonly demand: Demand;
  readonly done: (acquired: Acquired) => void;
  cancelled: boolean;
}

const NOTHING = {cancel: (): void => {}};
const HTTP1: readonly string[] = ['http/1.1'];
const HTTP2_OR_1: readonly string[] = ['h2', 'http/1.1'];

/** Scheme, name, port, way, roots and workload; the workload last, for it is the one part that others name. */
function keyOf(route: Route, carriage: Carriage, rootsId: string): string {
  const way =
    carriage.kind === 'direct'
      ? 'direct'
      : carriage.kind === 'absolute'
        ? `absolute ${carriage.parent.id}`
        : `tunnel ${carriage.sends} ${carriage.parent.id}`;
  return `${route.scheme} ${route.name} ${route.port} ${way} ${rootsId} ${route.workload}`;
}

/** Where we chose the address ourselves, it must be one that this decision allows; a parent's own choice is in the key. */
const mayUse = (place: LegPlace, carriage: Carriage, dial: readonly Address[]): boolean =>
  carriage.kind === 'direct' || (carriage.kind === 'tunnel' && carriage.sends === 'address')
    ? place.address !== null && dial.includes(place.address)
    : true;

export class LegPool {
  readonly #opener: Opener;
  readonly #rootsId: string;
  readonly #now: () => number;
  readonly #slots = new Map<string, Slot>();
  readonly #shares = new Shares();
  #sessions = 0;
  #opening = 0;
  readonly #active = new Set<H1Leg>();
  /** Servers that refused http/1.1, or have no h2; asked again after a while. */
  readonly #speaks = new LRUCache<string, 'h1' | 'h2'>({max: LIMITS.maxRememberedServers, ttl: 10 * 60_000});
  #idleLegs = 0;

  /** `now` in ms. */
  constructor(opener: Opener, rootsId: string, now: () => number) {
    this.#opener = opener;
    this.#now = now;
    this.#rootsId = rootsId;
  }

  /** A leg for one request; `done` may be called before this returns. */
  acquire(demand: Demand, done: (acquired: Acquired) => void): {cancel(): void} {
    const {route, carriage} = demand;
    const key = keyOf(route, carriage, this.#rootsId);
    const slot = this.#slot(key, route.workload);
    if (route.scheme === 'http') {
      // In the clear nothing is negotiated: what the client speaks is spoken on (h2c with prior knowledge, RFC 9113 §3.3).
      return demand.wants === 'h2' && carriage.kind !== 'absolute'
        ? this.#session(slot, demand, null, done)
        : this.#connection(slot, demand, null, done);
    }
    // Where one rests, the server speaks it: what is remembered of it need not be looked up.
    if (demand.wants === 'h1' && slot.idle.length > 0) return this.#connection(slot, demand, HTTP1, done);
    const speaks = this.#speaks.get(key);
    if (demand.wants === 'h1' && (speaks !== 'h2' || demand.onlyH1)) return this.#connection(slot, demand, HTTP1, done);
    if (demand.wants === 'h2' && speaks === 'h1') return this.#connection(slot, demand, HTTP1, done);
    return this.#session(slot, demand, HTTP2_OR_1, done);
  }

  /** Closes what carries nothing. */
  closeIdle(): void {
    for (const slot of this.#slots.values()) {
      for (const leg of slot.idle.slice()) leg.destroy();
      for (const session of slot.sessions.slice()) if (session.streams === 0) session.close();
    }
  }

  destroy(): void {
    for (const slot of this.#slots.values()) {
      for (const leg of slot.idle.slice()) leg.destroy();
      for (const session of slot.sessions.slice()) session.destroy();
    }
    for (const leg of this.#active) leg.destroy();
  }

  /** Legs as they are now, for metrics. */
  counts(): {idle: number; active: number; sessions: number; replayBytes: number} {
    return {
      idle: this.#idleLegs,
      active: this.#active.size,
      sessions: this.#sessions,
      replayBytes: this.#shares.replayBytes(),
    };
  }

  /** To be called by the coarse clock. */
  tick(): void {
    const nowMs = this.#now();
    for (const leg of this.#active) leg.tick(nowMs);
    for (const slot of this.#slots.values()) {
      for (const leg of slot.idle.slice()) if (leg.idleUntilMs <= nowMs) leg.destroy();
      for (const session of slot.sessions.slice()) session.tick(nowMs);
      this.#tidy(slot);
    }
    this.#shares.tick();
  }

  /** What the workload has of the legs. */
  shareOf(workload: string): Share {
    return this.#shares.of(workload);
  }

  #slot(key: string, workload: string): Slot {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = {key, share: this.#shares.of(workload), idle: [], sessions: [], waiting: null, users: 0};
      slot.share.slots++;
      this.#slots.set(key, slot);
    }
    return slot;
  }

  #tidy(slot: Slot): void {
    if (slot.users === 0 && slot.sessions.length === 0 && slot.waiting === null && this.#slots.delete(slot.key))
      slot.share.slots--;
  }

  /** An idle connection, or a new one. */
  #connection(
    slot: Slot,
    demand: Demand,
    alpn: readonly string[] | null,
    done: (acquired: Acquired) => void,
  ): {cancel(): void} {
    const {route, carriage} = demand;
    if (!demand.fresh) {
      for (let i = slot.idle.length - 1; i >= 0; i--) {
        const leg = slot.idle[i]!;
        if (!mayUse(leg.place, carriage, route.dial)) continue;
        slot.idle.splice(i, 1);
        slot.share.idleLegs--;
        this.#idleLegs--;
        this.#active.add(leg);
        done({kind: 'h1', leg, reused: true});
        return NOTHING;
      }
    }
    let step = NOTHING;
    let opening = true;
    slot.users++;
    step = this.#opener.open({route, carriage, alpn, key: slot.key}, (result) => {
      opening = false;
      slot.users--;
      if (!('failure' in result)) done({kind: 'h1', leg: this.#leg(slot, result), reused: false});
      else if (result.alpnRefused && !demand.onlyH1 && alpn !== null) {
        // The server speaks HTTP/2 only: the request is bridged, and the next ones ask for it at once.
        this.#speaks.set(slot.key, 'h2');
        step = this.#session(slot, demand, HTTP2_OR_1, done);
      } else done({failure: result.failure});
    });
    return {
      cancel: () => {
        if (opening) slot.users--;
        opening = false;
        step.cancel();
      },
    };
  }

  /** A stream's place on a session with room, or on a new one; one is opened at a time, for all who wait. */
  #session(
    slot: Slot,
    demand: Demand,
    alpn: readonly string[] | null,
    done: (acquired: Acquired) => void,
  ): {cancel(): void} {
    const {route, carriage} = demand;
    let full: H2Leg | null = null;
    for (const leg of slot.sessions) {
      if (!leg.usable || !mayUse(leg.place, carriage, route.dial)) continue;
      if (leg.hasRoom()) {
        done({kind: 'h2', leg, reused: leg.carriedAny});
        return NOTHING;
      }
      if (full === null || leg.streams < full.streams) full = leg;
    }
    if (full !== null && slot.sessions.length >= LIMITS.maxSessionsPerKey) {
      done({kind: 'h2', leg: full, reused: true});
      return NOTHING;
    }
    const waiter: Waiter = {demand, done, cancelled: false};
    const cancel = {cancel: (): void => void (waiter.cancelled = true)};
    if (slot.waiting !== null) {
      slot.waiting.push(waiter);
      return cancel;
    }
    if (!this.#roomForSession(slot.share)) {
      const failure: Failure = {
        reason: 'LimitExceeded',
        message: 'this workload has too many HTTP/2 sessions in use at once',
      };
      setImmediate(() => {
        if (!waiter.cancelled) done({failure});
      });
      return cancel;
    }
    slot.waiting = [waiter];
    slot.share.opening++;
    this.#opening++;
    this.#opener.open({route, carriage, alpn, key: slot.key}, (result) => this.#sessionOpened(slot, alpn, result));
    return cancel;
  }

  /** Where there is none, the oldest session that carries nothing makes room. */
  #roomForSession(share: Share): boolean {
    const mine = share.sessions.size + share.opening;
    if (mine < LIMITS.maxSessionsPerWorkload && this.#sessions + this.#opening < LIMITS.maxSessions) return true;
    for (const session of share.sessions) {
      if (session.streams > 0) continue;
      session.close();
      return true;
    }
    return false;
  }

  #sessionOpened(slot: Slot, alpn: readonly string[] | null, result: OpenResult): void {
    const waiters = (slot.waiting ?? []).filter((waiter) => !waiter.cancelled);
    slot.waiting = null;
    slot.share.opening--;
    this.#opening--;
    if ('failure' in result) {
      for (const waiter of waiters) waiter.done({failure: result.failure});
      this.#tidy(slot);
      return;
    }
    if (result.socket.destroyed) {
      const failure = unreachable(`${result.place.where} closed the connection before a request was sent`);
      for (const waiter of waiters) waiter.done({failure});
      this.#tidy(slot);
      return;
    }
    if (alpn !== null && result.protocol === 'h1') {
      this.#speaks.set(slot.key, 'h1');
      const [first, ...others] = waiters;
      const leg = this.#leg(slot, result);
      if (first === undefined) this.#rest(slot, leg);
      else if (mayUse(leg.place, first.demand.carriage, first.demand.route.dial))
        first.done({kind: 'h1', leg, reused: false});
      else {
        leg.destroy();
        others.unshift(first);
      }
      for (const waiter of others) this.#again(waiter);
      return;
    }
    const leg: H2Leg = new H2Leg(
      result.socket,
      result.place,
      (closed) => {
        const at = slot.sessions.indexOf(closed);
        if (at < 0) return;
        slot.sessions.splice(at, 1);
        slot.share.sessions.delete(closed);
        this.#sessions--;
      },
      this.#now,
    );
    slot.sessions.push(leg);
    slot.share.sessions.add(leg);
    this.#sessions++;
    for (const waiter of waiters) {
      // The connection was made for the first of them; each has its own decision and addresses.
      if (
        (leg.hasRoom() || waiter === waiters[0]) &&
        mayUse(leg.place, waiter.demand.carriage, waiter.demand.route.dial)
      )
        waiter.done({kind: 'h2', leg, reused: false});
      else this.#again(waiter);
    }
  }

  #again(waiter: Waiter): void {
    const step = this.acquire(waiter.demand, (acquired) => {
      if (!waiter.cancelled) waiter.done(acquired);
      else if ('kind' in acquired && acquired.kind === 'h1') acquired.leg.destroy();
    });
    void step;
  }

  #leg(slot: Slot, opened: {readonly socket: ConstructorParameters<typeof H1Leg>[0]; readonly place: LegPlace}): H1Leg {
    slot.users++;
    const leg = new H1Leg(
      opened.socket,
      opened.place,
      (idle) => this.#rest(slot, idle),
      (closed) => {
        slot.users--;
        this.#active.delete(closed);
        const at = slot.idle.indexOf(closed);
        if (at < 0) return;
        slot.idle.splice(at, 1);
        slot.share.idleLegs--;
        this.#idleLegs--;
      },
      this.#now,
    );
    this.#active.add(leg);
    return leg;
  }

  #rest(slot: Slot, leg: H1Leg): void {
    this.#active.delete(leg);
    const {share} = slot;
    if (
      slot.idle.length >= LIMITS.maxIdleLegsPerKey ||
      share.idleLegs >= LIMITS.maxIdleLegsPerWorkload ||
      this.#idleLegs >= LIMITS.maxIdleLegs
    ) {
      leg.destroy();
      return;
    }
    slot.idle.push(leg);
    share.idleLegs++;
    this.#idleLegs++;
  }
}
