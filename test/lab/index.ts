/** Network namespaces for tests and the demo. */
export * from './lab.ts';
export {inNamespace, namespacePath} from './namespace.ts';
export {hasLabPrivileges, labTests, type Privileges} from './privileges.ts';
export {connectIn, endServer, listenIn, rawPacketIn, udpIn} from './sockets.ts';
export {sweepLabs} from './sweep.ts';
export {BRIDGE, GATEWAY4, GATEWAY6, UPLINK} from './plan.ts';
