/**
 * The connections that Envoy is to pass on without looking into them. Envoy chooses between terminating TLS and passing it on
 * before it asks anybody, by what is written in its configuration; so that is written from the same policy. It opens
 * nothing: the filter in front of the tcp proxy asks about each of these connections, and no certificate is made for them.
 */
import {
  compilePolicies,
  decide,
  isDecision,
  loadDocuments,
  type Address,
  type Decision,
  type PolicySet,
  type Traffic,
  type Via,
} from '../../../../policy/index.ts';
import {outlookOf} from '../../../../extauthz/sds/outlook.ts';
import {documentsText} from '../../documents.ts';
import type {Case, DocumentValue, WorkloadSpec} from '../../format/case.ts';
import {canonical} from '../../format/places.ts';
import {INSTALLATION} from '../policy/installation.ts';
import {lookUp, workloadValue} from '../policy/question.ts';

export interface UnseenConnection {
  readonly workload: WorkloadSpec;
  readonly ip: Address;
  readonly port: number;
  /** null: whatever is spoken; else a TLS connection by this name. */
  readonly sni: string | null;
  readonly via: Via;
}

/** Of every workload to every server of the case, under its documents as they are now. */
export function unseenConnections(
  world: Case,
  documents: readonly DocumentValue[],
  addresses: ReadonlyMap<string, readonly string[]>,
): UnseenConnection[] {
  const {documents: loaded} = loadDocuments([{file: `${world.name}.yaml`, text: documentsText(documents)}]);
  const policies = compilePolicies(loaded, INSTALLATION);
  const all = world.workloads.map((spec) => workloadValue(world, spec));
  const isShown = (name: string): boolean => {
    const outlook = outlookOf(policies, name, all);
    return outlook === 'inspected' || outlook === 'refused';
  };
  const found: UnseenConnection[] = [];
  for (const workload of world.workloads)
    for (const server of world.servers)
      for (const ip of addresses.get(server.name)!.map(canonical))
        for (const {port} of server.ports) {
          const ask = (traffic: Traffic, canInspect = true): Decision | null =>
            decided(policies, world, workload, {ip, port}, traffic, addresses, canInspect);
          const bytes = ask({kind: 'unread'});
          if (bytes !== null) {
            if (bytes.verdict === 'allow') found.push({workload, ip, port, sni: null, via: bytes.via});
            continue;
          }
          const sealed = ask({kind: 'tls', tls: {sni: server.name, alpn: [], ech: false}});
          // What is refused is refused inside TLS where there is a certificate to say so with; else here, so that it is told at all.
          if (sealed === null) {
            // Only to be refused: what another rule would carry unread is not to be had by not looking.
            const unread = isShown(server.name)
              ? null
              : ask({kind: 'tls', tls: {sni: server.name, alpn: [], ech: false}}, false);
            if (unread?.verdict === 'deny') found.push({workload, ip, port, sni: server.name, via: {kind: 'direct'}});
            continue;
          }
          // What a tls rule would carry and a Deny needs to see is refused here for that reason, and not for another inside.
          if (sealed.verdict === 'allow' || sealed.reason === 'Uninspectable' || !isShown(server.name))
            found.push({workload, ip, port, sni: server.name, via: sealed.via});
        }
  return found;
}

/** null: more of the connection has to be seen. */
function decided(
  policies: PolicySet,
  world: Case,
  workload: WorkloadSpec,
  place: {readonly ip: Address; readonly port: number},
  traffic: Traffic,
  addresses: ReadonlyMap<string, readonly string[]>,
  canInspect: boolean,
): Decision | null {
  const names = new Map<string, readonly string[] | 'failed'>();
  for (;;) {
    const answer = decide(
      policies,
      {
        id: '',
        arrived: 'mesh',
        workload: workloadValue(world, workload),
        source: {ip: '10.77.0.10', port: 40000},
        destination: {...place, host: null},
        connectAuthority: null,
        canInspect,
        traffic,
      },
      names,
    );
    if (isDecision(answer)) return answer;
    if (answer.needs !== 'addresses') return null;
    for (const [name, of] of lookUp(answer.of, addresses)) names.set(name, of);
  }
}
