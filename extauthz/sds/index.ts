/** Certificates for Envoy, minted as names are wanted. */
export type {SecretEvent, SecretPeers, SecretService, SecretServiceOptions, SecretStats} from './contract.ts';
export {NO_SNI} from './outlook.ts';
export {identitiesOf, secretPeers, type SecretTransport} from './peers.ts';
export {DEFAULT_ROOM, type Room} from './places.ts';
export {createSecretService, SECRETS} from './service.ts';
