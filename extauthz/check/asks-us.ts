/**
 * Questions that a workload itself asks. In a mesh its sidecar would carry them to us with the certificate of the mesh, so that they
 * look like the sidecar's own; the answer may hold what rules set in requests, and credentials of parents.
 */
const SERVICES = ['/envoy.service.auth.', '/envoy.service.secret.'] as const;

/** gRPC matches the path of a method literally (its specification, "Requests"), so there are no other readings of it. */
export const asksUs = (path: string): boolean => SERVICES.some((service) => path.startsWith(service));
