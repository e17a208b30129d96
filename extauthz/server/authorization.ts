/** envoy.service.auth.v3.Authorization: the bytes go to the checker as they are. */
import {
  type sendUnaryData,
  type ServerUnaryCall,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import {check, type CheckServices} from '../checker.ts';

const asBytes = (bytes: Buffer): Buffer => bytes;

export const AUTHORIZATION: ServiceDefinition = {
  Check: {
    path: '/envoy.service.auth.v3.Authorization/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: asBytes,
    requestDeserialize: asBytes,
    responseSerialize: asBytes,
    responseDeserialize: asBytes,
  },
};

/** `identityOf`: the client's identity by its peer name. */
export function authorization(
  services: CheckServices,
  identityOf: (peer: string) => string | null,
): UntypedServiceImplementation {
  return {
    Check(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void {
      const caller = {
        peer: identityOf(call.getPeer()),
        metadata(key: string): string | null {
          const value = call.metadata.get(key)[0];
          return typeof value === 'string' ? value : null;
        },
      };
      check(services, call.request, caller, (response) => answer(null, response));
    },
  };
}
