/** What others' objects do to questions of ours: answers in our place, questions that hang, names that are looked up first. */
import {isOurs, nameOf, type EnvoyFilter, type ServiceEntry, type Surroundings} from './surroundings.ts';
import type {Conflict} from './verify.ts';

type Patch = NonNullable<EnvoyFilter['spec']['configPatches']>[number];

interface Fault {
  readonly code: string;
  readonly message: string;
  readonly fix: string;
}

/** EnvoyFilters of others, on what sidecars send. */
export function othersFilters({envoyFilters}: Surroundings): readonly Conflict[] {
  return envoyFilters
    .filter((one) => !isOurs(one))
    .flatMap((filter) =>
      (filter.spec.configPatches ?? []).flatMap((patch, i): readonly Conflict[] => {
        const {context = 'ANY'} = patch.match ?? {};
        if (context !== 'ANY' && context !== 'SIDECAR_OUTBOUND') return [];
        return faults(patch).map(({code, message, fix}) => ({
          ...{code, object: nameOf(filter), fix},
          message: `configPatches[${i}] ${message}`,
        }));
      }),
    );
}

function faults({applyTo, match, patch}: Patch): readonly Fault[] {
  const text = JSON.stringify([match, patch]);
  const value = JSON.stringify(patch?.value ?? null);
  const asks = value.includes('ext_authz.v3.ExtAuthz"');
  const found: Fault[] = [];
  if (patch?.operation === 'REMOVE' && text.includes('ext_authz'))
    found.push({code: 'QuestionRemoved', message: 'takes ext_authz away', fix: 'Take the patch out.'});
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
export function lookedUpFirst({serviceEntries}: Surroundings): readonly Conflict[] {
  return serviceEntries
    .filter((one) => one.spec.resolution === 'DYNAMIC_DNS' && !isOurs(one))
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
