/** The file of known differences and listed skips: each with its reason, none silently. */
import {readFileSync} from 'node:fs';
import {TARGET_NAMES, type TargetName} from './format/case.ts';
import {readStrictly, type Cursor} from './format/cursor.ts';

/** What a known difference may touch: verdict and reached never differ between targets. */
export const TOLERABLE = ['status', 'body', 'reason', 'headers'] as const;

export interface KnownEntry {
  readonly case: string;
  readonly step: string;
  readonly target: TargetName;
  readonly reason: string;
  readonly line: number;
}

export interface KnownDifference extends KnownEntry {
  readonly fields: readonly (typeof TOLERABLE)[number][];
}

export interface Known {
  readonly differences: readonly KnownDifference[];
  readonly skips: readonly KnownEntry[];
}

export const NOTHING_KNOWN: Known = {differences: [], skips: []};

/** Throws CaseError with every problem. */
export function parseKnown(file: string, text: string): Known {
  return readStrictly(file, text, (root) => {
    if (root.isNull) return NOTHING_KNOWN;
    const f = root.fields(['differences', 'skips']);
    return {
      differences: (f.differences?.items() ?? []).map((at) => {
        const g = at.fields(['case', 'step', 'target', 'fields', 'reason']);
        const fields = g.fields?.items().map((one) => one.oneOf(TOLERABLE)) ?? [];
        if (fields.length === 0) at.problem(`fields: say which of ${TOLERABLE.join(', ')} differ`);
        return {...entry(at, g), fields};
      }),
      skips: (f.skips?.items() ?? []).map((at) => entry(at, at.fields(['case', 'step', 'target', 'reason']))),
    };
  });
}

export const readKnown = (file: string): Known => parseKnown(file, readFileSync(file, 'utf8'));

function entry(at: Cursor, g: Partial<Record<'case' | 'step' | 'target' | 'reason', Cursor>>): KnownEntry {
  for (const name of ['case', 'step', 'target', 'reason'] as const) if (!g[name]) at.problem(`${name} is missing`);
  return {
    case: g.case?.text() ?? '',
    step: g.step?.text() ?? '',
    target: g.target?.oneOf(TARGET_NAMES) ?? 'policy',
    reason: g.reason?.text() ?? '',
    line: at.line,
  };
}

export const isFor = (entry: KnownEntry, caseName: string, stepName: string, target: TargetName): boolean =>
  entry.case === caseName && entry.step === stepName && entry.target === target;
