/** pki/'s public face. */
export type {LeafSource} from './contract.ts';
export {MAX_CLIENT_HELLO_BYTES, createClientHelloReader, parseClientHello} from './client-hello.ts';
export type {BadHello, ClientHello, ClientHelloReader, ClientHelloResult, HelloError} from './client-hello.ts';
export {ephemeralCa, openCa} from './ca.ts';
export type {Ca, CaOptions, Issuer} from './ca.ts';
export {createLeafMint, createLeafSource} from './leaf.ts';
export type {Leaf, LeafMint, LeafOptions, LeafStats, MintingLeafSource} from './leaf.ts';
export {TRUST_STORE_PASSWORD, publishTrust, trustBundlePem, trustBundlePkcs12} from './trust-bundle.ts';
export type {TrustBundleOptions} from './trust-bundle.ts';
