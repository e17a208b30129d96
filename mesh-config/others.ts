/** What others' objects do to questions of ours: answers in our place, questions that hang, names that are looked up first. */
import type {MeshEgressDocument} from '../policy/index.ts';
import {isForAsking} from './for-asking.ts';
import {isOurs, nameOf, type EnvoyFilter, type ServiceEntry, type Surroundings} from './surroundings.ts';
import type {Conflict} from './verify.ts';

type Patch = NonNullable<EnvoyFilter['spec']['configPatches']>[number];

interface Fault {
  readonly code: string;
  readonly message: string;
  readonly fix: string;
}

/** EnvoyFilters of others, on the proxies that ask. */
export function othersFilters(mesh: MeshEgressDocument, {envoyFilters}: Surroundings): readonly Conflict[] {
  return envoyFilters
    .filter((one) => !isOurs(mesh, one))
    .flatMap((filter) =>
      (filter.spec.configPatches ?? []).flatMap((patch, i): readonly Conflict[] => {
        if (!isForAsking(mesh, filter, patch.match?.context ?? 'ANY')) return [];
        return faults(patch).map(({code, message, fix}) => ({
          ...{code, object: nameOf(filter), fix},
          message: `configPatches[${i}] ${message}`,
        }));
      }),
    );
}

/** As Envoy's own names are written: in a value Istio takes `failureModeAllow` too (proto3 JSON). */
export const snakeKeys = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(snakeKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [
      key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snakeKeys(one),
    ]),
  );
};

function faults({applyTo, match, patch}: Patch): readonly Fault[] {
  const matched = JSON.stringify(match ?? null);
  const value = JSON.stringify(snakeKeys(patch?.value ?? null));
  const operation = patch?.operation;
  const asks = value.includes('ext_authz.v3.ExtAuthz"');
  const found: Fault[] = [];
  const isOfQuestion = (matched + value).includes('ext_authz');
  if (isOfQuestion && (operation === 'REMOVE' || (operation === 'REPLACE' && matched.includes('ext_authz') && !asks)))
    found.push({code: 'QuestionRemoved', message: 'takes ext_authz away', fix: 'Take the patch out.'});
  // By route (ExtAuthzPerRoute, FilterConfig), or the filter itself.
  else if (
    isOfQuestion &&
    (value.includes('"disabled":true') || (operation !== 'ADD' && value.includes('"filter_enabled')))
  )
    found.push({
      code: 'QuestionRemoved',
      message: 'switches ext_authz off, for some requests at least',
      fix: 'Take the patch out.',
    });
  if (value.includes('"failure_mode_allow":true'))
    found.push({
      code: 'FailsOpen',
      message: 'lets everything pass while its service is away',
      fix: 'Set failure_mode_allow: false.',
    });
  if (asks && applyTo === 'HTTP_FILTER' && value.includes('"with_request_body"'))
    found.push({
      code: 'BodyAwaited',
      message: 'waits for the body of each request, and a CONNECT never ends its own: each one hangs',
      fix: 'Take with_request_body out, or set disable_request_body_buffering on the routes of CONNECT.',
    });
  if (asks && /"cluster_name":"[^"]*\|/.test(value) && !value.includes('"authority"'))
    found.push({
      code: 'NoAuthority',
      message: "asks without an authority, so that it is the cluster's name, which is none: every question fails",
      fix: 'Write authority beside cluster_name.',
    });
  if (
    value.includes('"tunneling_config"') &&
    match?.listener?.portNumber !== undefined &&
    match.listener.name === undefined
  )
    found.push({
      code: 'TunnelsByPort',
      message: `sends every service of the mesh on port ${match.listener.portNumber} through a proxy`,
      fix: 'Match by listener.name.',
    });
  return found;
}

/** On such a service Envoy looks the name up before any filter of ours is asked: names leave by DNS. */
export function lookedUpFirst(mesh: MeshEgressDocument, {serviceEntries}: Surroundings): readonly Conflict[] {
  return serviceEntries
    .filter((one) => one.spec.resolution === 'DYNAMIC_DNS' && !isOurs(mesh, one))
    .map((one) => ({
      code: 'LookedUpFirst',
      object: nameOf(one),
      message: 'with resolution DYNAMIC_DNS its TLS names are looked up before anybody is asked about them',
      fix: 'List its hosts, or let what is reached by wildcard leave through a gateway.',
    }));
}

/** Names that Envoy itself looks up, in the order of the entries. */
export const namesToResolve = ({spec: {resolution, hosts = [], endpoints = []}}: ServiceEntry): readonly string[] =>
  resolution === 'DNS' || resolution === 'DNS_ROUND_ROBIN'
    ? (endpoints.length === 0 ? hosts : endpoints.map(({address}) => address ?? '')).filter(
        (name) => /[a-z]/i.test(name) && !name.includes(':') && !name.startsWith('*') && !name.startsWith('unix'),
      )
    : [];

/** `resolved`: null where the name has no address. A proxy that starts waits for it, and has no listener at all meanwhile. */
export function unresolvable(entry: ServiceEntry, name: string): Conflict {
  return {
    code: 'Unresolvable',
    object: nameOf(entry),
    message: `${name} has no address here: a proxy that starts may wait for it, and nothing leaves its pod meanwhile`,
    fix: 'Correct the name, or delete the entry.',
  };
}
