/** The target `policy`: the pure decision function, asked as a dataplane asks it. */
import {compilePolicies, decide, formatFinding, isDecision, loadDocuments} from '../../../../policy/index.ts';
import type {Decision, Document, EgressRequest, Finding, PolicySet, Traffic} from '../../../../policy/index.ts';
import {documentsText} from '../../documents.ts';
import type {ApplyAction, Case, DocumentValue, Step} from '../../format/case.ts';
import {NOTHING_OBSERVED, type Observation} from '../../observation.ts';
import {worldAddresses} from '../../world/addresses.ts';
import type {Target, TargetWorld} from '../target.ts';
import {denialAnswer, forwardedHeaders, httpOf, observed} from './answer.ts';
import {INSTALLATION} from './installation.ts';
import {lookUp, rawQuestion, requestQuestion, type Question} from './question.ts';
import {readRaw} from './raw-http.ts';

/** Rounds of `needs` before a question is given up: more means that decide asks for the same again. */
const MAX_ROUNDS = 12;

export const policyTarget: Target = {
  name: 'policy',
  scope: {network: false},
  parallel: 1,
  unavailable: () => null,
  skips(step) {
    const {action} = step;
    if (action.kind === 'ping' || action.kind === 'udp')
      return `a ${action.kind} step is the capture's, not a decision`;
    if (action.kind === 'raw') {
      const reading = readRaw(action);
      if (reading.kind === 'odd') return reading.why;
    }
    return null;
  },
  open: async (world) => new PolicyWorld(world),
};

interface Asked {
  readonly decision: Decision;
  readonly traffic: Traffic;
}

class PolicyWorld implements TargetWorld {
  readonly #case: Case;
  readonly #addresses: ReadonlyMap<string, readonly string[]>;
  #good = new Map<string, Document>();
  #policies: PolicySet;
  #asked = 0;

  constructor(world: Case) {
    this.#case = world;
    this.#addresses = worldAddresses(world);
    const errors = this.#load(world.documents);
    if (errors !== null) throw new Error(`the policies of the case do not load: ${errors}`);
    this.#policies = compilePolicies([...this.#good.values()], INSTALLATION);
  }

  /** Good documents replace their predecessors, bad ones do not; answers what is wrong with the bad ones. */
  #load(documents: readonly DocumentValue[]): string | null {
    const {documents: good, findings} = loadDocuments([
      {file: `${this.#case.name}.yaml`, text: documentsText(documents)},
    ]);
    for (const document of good) this.#good.set(keyOf(document), document);
    const errors = findings.filter((finding: Finding) => finding.severity === 'error');
    return errors.length === 0 ? null : errors.map(formatFinding).join('\n');
  }

  async run(step: Step): Promise<Observation> {
    const {action} = step;
    switch (action.kind) {
      case 'apply':
        return this.#apply(action);
      case 'request':
        return this.#ask(requestQuestion(this.#case, action, step.workload, this.#addresses));
      case 'raw':
        return this.#ask(rawQuestion(this.#case, action, readRaw(action), step.workload, this.#addresses));
      case 'ping':
      case 'udp':
        return NOTHING_OBSERVED;
    }
  }

  #apply(action: ApplyAction): Observation {
    const error = this.#load(action.documents);
    this.#policies = compilePolicies([...this.#good.values()], INSTALLATION);
    return {...NOTHING_OBSERVED, load: {error}};
  }

  #ask(question: Question | null): Observation {
    if (question === null)
      return {...NOTHING_OBSERVED, notes: ['the name does not resolve, so the client dials nothing']};
    const names = new Map<string, readonly string[] | 'failed'>();
    let asked = this.#layers(question, names);
    // A refusal of a TLS connection stands for all that is asked on it; a passed-through one is seen no further.
    if (asked === 'request') for (const traffic of question.requests) asked = this.#decide(question, traffic, names);
    if (asked === 'request') return {...NOTHING_OBSERVED, notes: ['decide asks for a request where there is none']};
    const {decision, traffic} = asked;
    const http = httpOf(traffic) ?? (question.requests[0] === undefined ? null : httpOf(question.requests[0]));
    return {
      ...NOTHING_OBSERVED,
      decision: observed(decision),
      answer: denialAnswer(decision, traffic, http),
      forwarded:
        decision.verdict === 'allow' && http !== null
          ? forwardedHeaders(http.headers, decision.requestMutations)
          : null,
      notes: [decision.message],
    };
  }

  #layers(question: Question, names: Map<string, readonly string[] | 'failed'>): Asked | 'request' {
    for (const traffic of question.layers) {
      const asked = this.#decide(question, traffic, names);
      if (asked !== 'request') return asked;
    }
    return 'request';
  }

  /** 'request': the next layer has to be seen. */
  #decide(question: Question, traffic: Traffic, names: Map<string, readonly string[] | 'failed'>): Asked | 'request' {
    const request: EgressRequest = {
      ...question.base,
      id: `conformance${String(++this.#asked).padStart(5, '0')}`,
      traffic,
    };
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const answer = decide(this.#policies, request, names);
      if (isDecision(answer)) return {decision: answer, traffic};
      if (answer.needs !== 'addresses') return 'request';
      for (const [name, found] of lookUp(answer.of, this.#addresses)) names.set(name, found);
    }
    throw new Error(`decide asked ${MAX_ROUNDS} times and did not decide`);
  }

  late(): [] {
    return [];
  }

  async close(): Promise<void> {
    // Nothing stands.
  }
}

const keyOf = (document: Document): string =>
  `${document.kind} ${'namespace' in document ? (document.namespace ?? '') : ''} ${document.name}`;
