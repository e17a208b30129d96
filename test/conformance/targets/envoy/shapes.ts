/** Words of Envoy's configuration that are too long to be read twice. */
export type Json = Readonly<Record<string, unknown>>;

const withType = (type: string, value: Json): Json => ({'@type': `type.googleapis.com/${type}`, ...value});

/** A message with its type; `named`: as an extension. */
export const typed = Object.assign(withType, {
  named: (name: string, type: string, value: Json): Json => ({name, typed_config: withType(type, value)}),
});

export const UPSTREAM_HTTP = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** Lets listeners of Envoy's own be dialled by its clusters. */
export const INTERNAL = typed.named(
  'envoy.bootstrap.internal_listener',
  'envoy.extensions.bootstrap.internal_listener.v3.InternalListener',
  {},
);
