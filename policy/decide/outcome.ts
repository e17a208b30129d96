/** What a set of rules says of one question, before Audit and the client's answer come into it. */
import type {CompiledRule} from '../compile-rule.ts';
import type {PolicySet} from '../compile.ts';
import type {Names, Needs, Via} from '../decision.ts';
import type {Reason} from '../reasons.ts';
import type {Address, EgressRequest} from '../request.ts';
import type {RuleGroup} from '../select.ts';
import type {View} from './conditions.ts';

export interface Question {
  readonly policies: PolicySet;
  readonly group: RuleGroup;
  readonly request: EgressRequest;
  readonly view: View;
  readonly names: Names;
}

export type Outcome =
  | {
      readonly kind: 'allow';
      readonly rule: CompiledRule;
      readonly dial: readonly Address[];
      readonly via: Via;
    }
  | {
      readonly kind: 'deny';
      readonly reason: Reason;
      readonly rule: CompiledRule | null;
      readonly message: string;
      /** Of a TLS connection: each request inside would be refused for the same reason, so it may be answered there. */
      readonly deferrable: boolean;
    }
  | Needs;

export type Denied = Extract<Outcome, {kind: 'deny'}>;

export const isNeeds = (outcome: Outcome): outcome is Needs => 'needs' in outcome;

export const needsNames = (of: readonly string[], recent: boolean): Needs => ({needs: 'addresses', of, recent});

export function denied(
  reason: Reason,
  rule: CompiledRule | null,
  message: string,
  deferrable: boolean = false,
): Denied {
  return {kind: 'deny', reason, rule, message, deferrable};
}

export const ruleDenied = (rule: CompiledRule, deferrable: boolean = false): Denied =>
  denied('RuleDenied', rule, `A Deny rule matches: ${label(rule)}.`, deferrable);

export const noRuleMatched = (text: string, port: number): Denied =>
  denied('NoRuleMatched', null, `No Allow rule matches this request or connection to ${text} port ${port}.`, true);

/** `policy/rule`, as logs and conformance cases write it. */
export const label = (rule: CompiledRule): string => `${rule.policy.name}/${rule.document.name}`;
