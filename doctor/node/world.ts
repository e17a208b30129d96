/** What the node's checks are given: the agent, the programs, what should be in force, each computed once. */
import {get} from 'node:http';
import {compilePolicies} from '../../policy/index.ts';
import {captureConfig} from '../../tproxy/node-capture.ts';
import {members} from '../../tproxy/node-members.ts';
import {NodeState} from '../../tproxy/node-state.ts';
import type {Commands} from '../../tproxy/capture/commands.ts';
import type {Capture, CaptureConfig} from '../../tproxy/capture/config.ts';
import {place} from '../../tproxy/capture/topology.ts';
import {SallyportError} from '../../runtime/errors.ts';
import {agentKnowledge, agentResolvers, type Agent} from './agent.ts';
import type {Known} from '../../sources/knowledge.ts';

export interface NodeWorld {
  readonly commands: Commands;
  readonly now: () => number;
  /** Throws SallyportError `NoAgent` where none runs, or its settings cannot be read. */
  readonly agent: () => Agent;
  /** What it goes by, asked for once. Rejects where it cannot be read. */
  readonly known: () => Promise<Known>;
  /** What the rules should be a function of, at this moment. */
  readonly capture: () => Promise<Capture>;
  /** The admin port's answer to `path`. Rejects where nobody answers there. */
  readonly admin: (path: string) => Promise<{readonly status: number; readonly text: string}>;
}

/** The admin port answers at once or is in trouble. */
const ADMIN_TIMEOUT_MS = 5_000;
/** Readiness with a finding for each of a thousand policies. */
const MAX_ADMIN_BYTES = 8 * 1024 * 1024;

/** `found`: the agent of this machine, or why there is none. `kubeconfig`: for us, where the agent's own way to the API server is not ours. */
export function nodeWorld(found: Agent | SallyportError, commands: Commands, kubeconfig: string | null): NodeWorld {
  const agent = (): Agent => {
    if (found instanceof SallyportError) throw found;
    return found;
  };
  let asked: Promise<Known> | null = null;
  const known = (): Promise<Known> => (asked ??= agentKnowledge(agent(), kubeconfig));
  return {
    commands,
    now: Date.now,
    agent,
    known,
    capture: async () => {
      const now = await known();
      const {config} = agent();
      const policies = compilePolicies(now.documents, config.installation, now.notLoaded);
      // Read each time: what it latched a moment ago is held.
      const state = new NodeState(config.stateDir);
      const rule = {
        posture: config.posture,
        exempt: new Set(config.exemptNamespaces),
        latched: (uid: string) => state.isLatched(uid),
      };
      const placed = await place(commands, members(now, policies, rule));
      const wanted = {config: rulesOf(agent()), podCidrs: state.memory.podCidrs, ...placed};
      return wanted;
    },
    admin: (path) => ask(agent(), path),
  };
}

function rulesOf(agent: Agent): CaptureConfig {
  const resolvers = agentResolvers(agent);
  // Named, so that our own /etc/resolv.conf is not read in place of the agent's.
  return {...captureConfig({...agent.config, resolver: resolvers[0] ?? null}), resolvers};
}

function ask({config}: Agent, path: string): Promise<{status: number; text: string}> {
  const {ip, port} = config.admin;
  return new Promise((resolve, reject) => {
    const request = get({host: ip ?? '127.0.0.1', port, path, timeout: ADMIN_TIMEOUT_MS, agent: false}, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ADMIN_BYTES) request.destroy(new Error('its answer is too long'));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => resolve({status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString()}));
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${ADMIN_TIMEOUT_MS / 1000} s`)));
    request.on('error', reject);
  });
}
