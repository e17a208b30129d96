/**
 * How the documents' schema is written down: once, as data. The reader checks values against it, the JSON Schemas under
 * docs/schema are printed from it, and the TypeScript types of raw documents follow from it.
 */

/** A text; `oneOf` closes its set. Lengths are in UTF-16 units. */
export interface TextShape {
  readonly kind: 'text';
  readonly oneOf?: readonly string[];
  readonly minCharacters?: number;
  readonly maxCharacters?: number;
}
export interface IntegerShape {
  readonly kind: 'integer';
  readonly from: number;
  readonly to: number;
}
/** 443, "443" or "8000-8999". */
export interface PortShape {
  readonly kind: 'port';
}
export interface ListShape {
  readonly kind: 'list';
  readonly of: Shape;
  readonly minItems?: number;
  readonly maxItems: number;
}
/** Free keys. `nullable`: a value may be null. */
export interface MapShape {
  readonly kind: 'map';
  readonly of: Shape;
  readonly nullable?: true;
  readonly maxEntries: number;
}
/** Fixed keys; any other is an error. */
export interface ObjectShape {
  readonly kind: 'object';
  readonly fields: Readonly<Record<string, Field>>;
}
/** Taken as it is and not looked at: what Kubernetes itself writes. */
export interface AnyShape {
  readonly kind: 'any';
}
export type Shape = TextShape | IntegerShape | PortShape | ListShape | MapShape | ObjectShape | AnyShape;

export interface Field {
  readonly shape: Shape;
  readonly doc: string;
  readonly required?: true;
  /** What is meant where the field is absent; a text in words where it is no single value. */
  readonly default?: unknown;
}

/** The TypeScript type of values that conform. */
export type ValueOf<S> = S extends {kind: 'text'; oneOf: readonly (infer T)[]}
  ? T
  : S extends {kind: 'text'}
    ? string
    : S extends {kind: 'integer'}
      ? number
      : S extends {kind: 'port'}
        ? number | string
        : S extends {kind: 'list'; of: infer T}
          ? readonly ValueOf<T>[]
          : S extends {kind: 'map'; of: infer T; nullable: true}
            ? Readonly<Record<string, ValueOf<T> | null>>
            : S extends {kind: 'map'; of: infer T}
              ? Readonly<Record<string, ValueOf<T>>>
              : S extends {kind: 'object'; fields: infer F}
                ? ObjectOf<F>
                : unknown;

type ObjectOf<F> = {
  readonly [K in keyof F as F[K] extends {required: true} ? K : never]: F[K] extends {shape: infer S}
    ? ValueOf<S>
    : never;
} & {
  readonly [K in keyof F as F[K] extends {required: true} ? never : K]?: F[K] extends {shape: infer S}
    ? ValueOf<S>
    : never;
};

export const text = {kind: 'text'} as const;
