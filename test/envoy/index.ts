/** A real Envoy for tests. */
export {ENVOY_VERSIONS, envoyBinary} from './binary.ts';
export {startEnvoy, type AccessLogLine, type Envoy, type EnvoyOptions} from './envoy.ts';
