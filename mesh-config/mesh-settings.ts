/** What the mesh configuration (the `mesh` of Istio's ConfigMap, `meshConfig` of its Helm values) has to say. */
import type {MeshEgressDocument} from '../policy/index.ts';
import {ACCESS_LOG_FIELDS} from './access-log.ts';

export type Settings = Readonly<Record<string, unknown>>;

export function meshSettings(mesh: MeshEgressDocument): Settings {
  return {
    outboundTrafficPolicy: {mode: mesh.outboundTrafficPolicy === 'AllowAny' ? 'ALLOW_ANY' : 'REGISTRY_ONLY'},
    ...(mesh.enforcement.length === 0 ? {} : ASKED),
  };
}

const ASKED: Settings = {
  // The path that is judged is the one that is sent on: how servers may read it is the policy's to know.
  pathNormalization: {normalization: 'NONE'},
  accessLogFile: '/dev/stdout',
  accessLogEncoding: 'JSON',
  accessLogFormat: JSON.stringify(ACCESS_LOG_FIELDS),
};
