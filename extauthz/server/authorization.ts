/** envoy.service.auth.v3.Authorization: the bytes go to the checker as they are. */
import {
  type sendUnaryData,
  type ServerUnaryCall,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import {check, type CheckServices} from '../checker.ts';
import {identitiesOf} from '../sds/index.ts';

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

export function authorization(services: CheckServices): UntypedServiceImplementation {
  return {
    Check(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void {
      const caller = {
        // Of this very connection: two may come from one address and port, to two addresses of ours.
        get peer(): string | null {
          const names = identitiesOf(call.getAuthContext().sslPeerCertificate);
          return names.find((name) => name.startsWith('spiffe://')) ?? null;
        },
        metadata(key: string): string | null {
          const value = call.metadata.get(key)[0];
          return typeof value === 'string' ? value : null;
        },
      };
      check(services, call.request, caller, (response) => answer(null, response));
    },
  };
}
