/** metav1.LabelSelector as it is written: each part may be left out. */
export interface WrittenSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

/**
 * Whether labels have all that a selector wants, as Kubernetes has it ("Labels and selectors"): an empty selector matches all, and
 * so does NotIn where the label is missing. An operator that does not exist matches nothing.
 */
export function matchesLabels(
  {matchLabels = {}, matchExpressions = []}: WrittenSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  for (const [key, value] of Object.entries(matchLabels))
    if (!Object.hasOwn(labels, key) || labels[key] !== value) return false;
  for (const {key, operator, values = []} of matchExpressions) {
    const value = Object.hasOwn(labels, key) ? labels[key]! : null;
    switch (operator) {
      case 'In':
        if (value === null || !values.includes(value)) return false;
        break;
      case 'NotIn':
        if (value !== null && values.includes(value)) return false;
        break;
      case 'Exists':
        if (value === null) return false;
        break;
      case 'DoesNotExist':
        if (value !== null) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

/** Whether one pod may have both: no key is to have two values. Equal labels are all that Istio selects by. */
export const mayShareLabels = (a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean =>
  Object.entries(a).every(([key, value]) => !Object.hasOwn(b, key) || b[key] === value);
