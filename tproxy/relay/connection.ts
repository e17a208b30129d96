/** One client's connection: who it is, where it wants to go, and the stage it is in. */
import type {Socket} from 'node:net';
import type {Destination, EgressRequest, Endpoint, Traffic, Workload} from '../../policy/index.ts';
import {newDecisionId} from '../../runtime/ids.ts';
import {reset} from '../capture/sockets.ts';
import type {Core} from './core.ts';
import type {Hint} from './judge.ts';
import type {LivingConnection} from './live.ts';
import {UNKNOWN, type Usage} from './usage.ts';

/** What a connection is doing: peeking, shaking hands, serving requests, tunnelling. */
export interface Stage {
  /** The connection's deadline has passed. */
  expire(): void;
  /** No further requests; at once where nothing is under way. */
  drain(): void;
}

export class ClientConnection implements LivingConnection {
  readonly core: Core;
  /** The TCP socket, also where TLS is spoken over it. */
  readonly socket: Socket;
  readonly arrived: 'captured' | 'explicit';
  readonly source: Endpoint;
  readonly openedAt: number;
  readonly workloadKey: string;
  readonly usage: Usage;
  workload: Workload | 'unknown';
  /** Replaced when a CONNECT names it. */
  destination: Destination;
  connectAuthority: {readonly host: string; readonly port: number} | null = null;
  deadlineAt = 0;
  hint: Hint | null = null;
  stage: Stage | null = null;
  /** The client sent something inside TLS: it accepted our leaf. */
  spoke = false;

  constructor(
    core: Core,
    socket: Socket,
    arrived: 'captured' | 'explicit',
    source: Endpoint,
    destination: Destination,
  ) {
    this.core = core;
    this.socket = socket;
    this.arrived = arrived;
    this.source = source;
    this.destination = destination;
    this.openedAt = core.now();
    this.workload = core.services.workloadAt(source.ip);
    this.workloadKey = keyOf(this.workload, source.ip);
    this.usage = core.live.open(this);
    socket.on('error', ignore);
    socket.on('close', () => {
      this.deadlineAt = 0;
      core.live.closed(this);
    });
  }

  /** A new question about this connection, with a new id. */
  ask(traffic: Traffic, destination: Destination = this.destination): EgressRequest {
    return {
      id: newDecisionId(),
      arrived: this.arrived,
      workload: this.workload,
      source: this.source,
      destination,
      connectAuthority: this.connectAuthority,
      canInspect: true,
      traffic,
    };
  }

  /** The deadline is `ms` from now. */
  expireIn(ms: number): void {
    this.deadlineAt = this.core.now() + ms;
  }

  expire(): void {
    this.core.services.count?.('timeout');
    if (this.stage === null) this.destroy();
    else this.stage.expire();
  }

  drain(): void {
    this.stage?.drain();
  }

  /** A reset: the client sees that it was cut, and a truncated body is no whole one. */
  destroy(): void {
    reset(this.socket);
  }

  workloadChanged(): void {
    const now = this.core.services.workloadAt(this.source.ip);
    if (keyOf(now, this.source.ip) === this.workloadKey) {
      this.workload = now;
      return;
    }
    this.core.services.journal.notice(
      'info',
      'relay.workload-gone',
      'a connection was cut: its address belongs to another workload now, or to none',
      {
        source: this.source.ip,
        before: this.workloadKey,
      },
    );
    this.destroy();
  }
}

function keyOf(workload: Workload | 'unknown', ip: string): string {
  return workload === 'unknown'
    ? `${UNKNOWN}${ip}`
    : workload.uid !== ''
      ? workload.uid
      : `${workload.namespace}/${workload.name}`;
}

/** Errors of a socket are seen as its close; the listener keeps them from being thrown. */
export function ignore(): void {
  // Nothing: 'close' follows.
}
