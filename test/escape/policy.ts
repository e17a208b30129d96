/** What the locked pod may do: little, and of every kind of rule something. */

const GROUP = {apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressPolicy'};

const BELOW_PUBLIC = {methods: ['GET', 'HEAD', 'POST', 'PUT', 'OPTIONS'], paths: ['/public/**']};

export const POLICY = {
  ...GROUP,
  metadata: {name: 'escape', namespace: 'default'},
  spec: {
    podSelector: {},
    rules: [
      {name: 'allowed', to: {hosts: ['allowed.test']}, http: BELOW_PUBLIC},
      {name: 'plain', to: {hosts: ['plain.test'], schemes: ['http']}, http: BELOW_PUBLIC},
      {name: 'wild', to: {hosts: ['*.wild.test'], schemes: ['https', 'http'], ports: [80, 443]}},
      {name: 'pass', to: {hosts: ['pass.test'], schemes: ['tls']}},
      {name: 'opaque', to: {hosts: ['opaque.test'], schemes: ['tcp'], ports: [9000]}},
      {
        name: 'mutated',
        to: {hosts: ['mutated.test']},
        http: BELOW_PUBLIC,
        request: {set: {'x-egress': 'sallyport'}, add: {'x-hop': 'one'}, remove: ['x-secret']},
      },
      {name: 'socket', to: {hosts: ['socket.test'], schemes: ['http']}},
      // As wide as an operator can write it: what is special stays closed all the same.
      {name: 'literals', to: {cidrs: ['0.0.0.0/0', '::/0'], schemes: ['http'], ports: [8088]}},
    ],
  },
};

/** Nothing is allowed, and only watched. */
export const AUDIT = {
  ...GROUP,
  metadata: {name: 'watched', namespace: 'default'},
  spec: {podSelector: {}, mode: 'Audit', rules: []},
};

/** The same without one rule. */
export const without = (rule: string): object => ({
  ...POLICY,
  spec: {...POLICY.spec, rules: POLICY.spec.rules.filter(({name}) => name !== rule)},
});
