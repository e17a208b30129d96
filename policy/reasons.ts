/** Why a decision came out as it did: the closed set of POLICY.md "Reasons", documented in docs/REASONS.md. */
export const REASONS = [
  'RuleAllowed',
  'RuleDenied',
  'NoRuleMatched',
  'NoPolicySelects',
  'DefaultAllowed',
  'UnknownWorkload',
  'IdentityConflict',
  'HostMismatch',
  'AmbiguousPath',
  'MalformedRequest',
  'UnsupportedProtocol',
  'DestinationForbidden',
  'Uninspectable',
  'Unresolvable',
  'UpstreamUntrusted',
  'UpstreamUnreachable',
  'UpstreamProxyRefused',
  'UpstreamMalformed',
  'ClientRejectedLeaf',
  'FilterDenied',
  'FilterFailed',
  'LimitExceeded',
  'Overloaded',
  'PolicyNotLoaded',
] as const;

export type Reason = (typeof REASONS)[number];
