/** The status subresources that the controller writes. */
import type {Column} from './resource.ts';
import type {Schema} from './structural.ts';

/** As Kubernetes' own metav1.Condition. */
const CONDITION: Schema = {
  type: 'object',
  required: ['type', 'status', 'reason', 'message', 'lastTransitionTime'],
  properties: {
    type: {type: 'string', minLength: 1, maxLength: 316},
    status: {type: 'string', enum: ['True', 'False', 'Unknown']},
    reason: {type: 'string', minLength: 1, maxLength: 1024},
    message: {type: 'string', maxLength: 32768},
    observedGeneration: {type: 'integer', format: 'int64'},
    lastTransitionTime: {type: 'string', format: 'date-time'},
  },
};

const conditions: Schema = {
  type: 'array',
  maxItems: 16,
  items: CONDITION,
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
};

const count = (description: string): Schema => ({type: 'integer', minimum: 0, description});

/** Of what selects no pods. */
export const STATUS: Schema = {
  type: 'object',
  description: 'Written by the controller.',
  properties: {conditions},
};

export const POLICY_STATUS: Schema = {
  type: 'object',
  description: 'Written by the controller.',
  properties: {
    conditions,
    pods: {
      type: 'object',
      description: 'The running pods that it selects. Absent where it could not be loaded.',
      properties: {
        selected: count('How many.'),
        enforced: count('Held to it, as the agents of their nodes say.'),
        mesh: count(
          'With an Istio sidecar and not held on their nodes: whether Envoy asks about them is not seen here.',
        ),
        summary: {type: 'string', maxLength: 32, description: 'enforced/selected.'},
      },
    },
  },
};

export const conditionColumn = (type: string, description: string): Column => ({
  name: type,
  type: 'string',
  description,
  jsonPath: `.status.conditions[?(@.type=="${type}")].status`,
});

export const reasonColumn = (type: string, name: string, description: string): Column => ({
  name,
  type: 'string',
  description,
  jsonPath: `.status.conditions[?(@.type=="${type}")].reason`,
  priority: 1,
});
