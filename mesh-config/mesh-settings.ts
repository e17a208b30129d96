/** What the mesh configuration (the `mesh` of Istio's ConfigMap, `meshConfig` of its Helm values) has to say. */
import type {MeshEgressDocument} from '../policy/index.ts';
import {ACCESS_LOG_FIELDS} from './access-log.ts';
import {extauthzHost} from './check.ts';
import {PROVIDER} from './waypoint/waypoint.ts';

export type Settings = Readonly<Record<string, unknown>>;

export function meshSettings(mesh: MeshEgressDocument): Settings {
  return {
    outboundTrafficPolicy: {mode: mesh.outboundTrafficPolicy === 'AllowAny' ? 'ALLOW_ANY' : 'REGISTRY_ONLY'},
    ...(mesh.enforcement.length === 0 ? {} : ASKED),
    ...(mesh.enforcement.some(({at}) => at === 'Waypoint') ? {extensionProviders: [provider(mesh)]} : {}),
  };
}

/** Whom AuthorizationPolicies with the action CUSTOM ask. */
const provider = (mesh: MeshEgressDocument): Settings => ({
  name: PROVIDER,
  envoyExtAuthzGrpc: {
    service: `${mesh.extauthz.namespace}/${extauthzHost(mesh)}`,
    port: mesh.extauthz.port,
    timeout: `${mesh.extauthz.timeoutMs / 1000}s`,
    failOpen: false,
    statusOnError: '503',
  },
});

const ASKED: Settings = {
  // The path that is judged is the one that is sent on: how servers may read it is the policy's to know.
  pathNormalization: {normalization: 'NONE'},
  accessLogFile: '/dev/stdout',
  accessLogEncoding: 'JSON',
  accessLogFormat: JSON.stringify(ACCESS_LOG_FIELDS),
};
