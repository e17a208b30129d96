/**
 * The order in which Istio applies our EnvoyFilters; smaller numbers first.
 * 1. A connection to a corporate proxy becomes HTTP: its tcp_proxy is gone when 2. looks for one. The other way round each such
 *    connection would first be asked about without the name that it is for, and refused.
 * 2. Everything else is asked about.
 * 3. What is asked about by 2. and may leave through a parent is sent where the answer says.
 */
export const PRIORITY = {externalProxy: 5, sidecar: 10, chain: 15} as const;
