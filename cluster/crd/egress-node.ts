/** EgressNode: what a node's agent says that it enforces. Nobody writes it but the agents, and so it is no kind of the file schema. */
import {REPORT_LIMITS} from '../node-report/report.ts';
import {AGE, definitionOf, text} from './resource.ts';
import type {Schema} from './structural.ts';

/** Written and taken away as a whole: nothing of it has another owner, and managed fields would double it. */
const atomic = {'x-kubernetes-list-type': 'atomic'} as const;
const UID: Schema = {type: 'string', minLength: 1, maxLength: 64};
const uids = (description: string): Schema => ({
  type: 'array',
  description,
  maxItems: REPORT_LIMITS.pods,
  items: UID,
  ...atomic,
});
const count: Schema = {type: 'integer', minimum: 0};
const time: Schema = {type: 'string', format: 'date-time'};

const STATUS: Schema = {
  type: 'object',
  description: 'Written by the agent of the node of this name.',
  properties: {
    version: {...text, maxLength: 64, description: "The agent's."},
    bootID: {...text, maxLength: 64, description: "The kernel's: after a reboot nothing of an older report holds."},
    ready: {type: 'boolean', description: 'Rules are in the kernel, and workers listen.'},
    policies: {
      type: 'array',
      description: 'In force, of those that select a pod of this node.',
      maxItems: REPORT_LIMITS.policies,
      ...atomic,
      items: {
        type: 'object',
        required: ['kind', 'name', 'uid', 'generation'],
        properties: {
          kind: {type: 'string', enum: ['EgressPolicy', 'ClusterEgressPolicy']},
          namespace: {...text, maxLength: 63},
          name: {...text, maxLength: 253},
          uid: UID,
          generation: {type: 'integer', format: 'int64', minimum: 0},
        },
      },
    },
    locked: uids('Pods that get nothing out but through us.'),
    captured: uids('Pods whose traffic goes through us where it can (Audit).'),
    missingRefs: {
      type: 'array',
      description: 'UpstreamProxies that cannot be used here: what they refer to is not there.',
      maxItems: REPORT_LIMITS.missingRefs,
      ...atomic,
      items: {
        type: 'object',
        required: ['proxy', 'message'],
        properties: {
          proxy: {...text, maxLength: 253},
          message: {...text, maxLength: REPORT_LIMITS.messageCharacters},
        },
      },
    },
    counts: {
      type: 'object',
      description: 'How many there are; the lists may be cut.',
      properties: {locked: count, captured: count, policies: count},
    },
    lastTransitionTime: {...time, description: 'Since when it is ready, or not.'},
    heartbeatTime: {...time, description: 'When it was written; at least once a minute.'},
  },
};

export const EGRESS_NODE = definitionOf({
  kind: 'EgressNode',
  plural: 'egressnodes',
  shortNames: ['enode'],
  scope: 'Cluster',
  doc: 'What one node enforces, as its agent says.',
  spec: null,
  status: STATUS,
  columns: [
    {name: 'Ready', type: 'boolean', description: 'Whether it enforces.', jsonPath: '.status.ready'},
    {
      name: 'Locked',
      type: 'integer',
      description: 'Pods that get nothing out else.',
      jsonPath: '.status.counts.locked',
    },
    {
      name: 'Captured',
      type: 'integer',
      description: 'Pods that Audit policies look at.',
      jsonPath: '.status.counts.captured',
    },
    {name: 'Version', type: 'string', description: "The agent's.", jsonPath: '.status.version'},
    {name: 'Seen', type: 'date', description: 'Since its last sign of life.', jsonPath: '.status.heartbeatTime'},
    AGE,
  ],
});
