import {describe, expect, test} from '@jest/globals';
import type {Container, Pod, VolumeMount} from './pod.ts';
import {readInstallation} from './settings.ts';
import {addTrustVolume, hasTrustVolume, setTrust} from './trust.ts';

const INSTALLATION = readInstallation('defaults', '', new Map()).value!;
const BUNDLE = '/etc/sallyport/trust/bundle.crt';
const CA = '/etc/sallyport/trust/ca.crt';
const ADDED = '/etc/sallyport/trust/added.crt';

function trusting(container: Partial<Container>, systemFiles = false): {container: Container; warnings: string[]} {
  const made: Container = {name: 'app', ...container};
  const warnings: string[] = [];
  setTrust(made, INSTALLATION, {systemFiles}, warnings);
  return {container: made, warnings};
}
const said = ({env = []}: Container): Record<string, string | undefined> =>
  Object.fromEntries(env.map(({name, value}) => [name, value]));

test('what replaces the roots gets all of them, what adds to them ours and the company’s, and SSL_CERT_DIR is left alone', () => {
  const {container, warnings} = trusting({});
  expect(said(container)).toEqual({
    SSL_CERT_FILE: BUNDLE,
    CURL_CA_BUNDLE: BUNDLE,
    REQUESTS_CA_BUNDLE: BUNDLE,
    GIT_SSL_CAINFO: BUNDLE,
    AWS_CA_BUNDLE: BUNDLE,
    PIP_CERT: BUNDLE,
    CARGO_HTTP_CAINFO: BUNDLE,
    GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: BUNDLE,
    NODE_EXTRA_CA_CERTS: ADDED,
    DENO_CERT: ADDED,
    JAVA_TOOL_OPTIONS: `-Djavax.net.ssl.trustStore=/etc/sallyport/trust/truststore.p12 -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=changeit`,
  });
  expect(container.volumeMounts).toEqual([
    {name: 'sallyport-trust', mountPath: '/etc/sallyport/trust', readOnly: true},
  ]);
  expect(warnings).toEqual([]);
});

test("a container's own certificates stay, and it is told what they need", () => {
  const {container, warnings} = trusting({
    env: [
      {name: 'SSL_CERT_FILE', value: '/own.pem'},
      {name: 'NODE_EXTRA_CA_CERTS', value: '/own.pem'},
      {name: 'SSL_CERT_DIR', value: '/own'},
    ],
  });
  expect(said(container)).toMatchObject({
    SSL_CERT_FILE: '/own.pem',
    SSL_CERT_DIR: '/own',
    NODE_EXTRA_CA_CERTS: '/own.pem',
  });
  expect(warnings).toEqual([
    `container app: its own SSL_CERT_FILE, NODE_EXTRA_CA_CERTS stays: ${CA} has to be in that file`,
  ]);
});

describe('where the author mounts something of his own', () => {
  const own = (mountPath: string): VolumeMount => ({name: 'own', mountPath});
  test.each<[string, VolumeMount]>([
    ['at our place', own('/etc/sallyport/trust')],
    ['at our place, written with a slash', own('/etc/sallyport/trust/')],
    ['around it: in a read-only volume no directory can be made', own('/etc')],
    ['around everything', own('/')],
    ['below it', own('/etc/sallyport/trust/own')],
    ['a part of our volume', {name: 'sallyport-trust', mountPath: '/etc/sallyport/trust', subPath: 'ca.crt'}],
  ])('%s, it stays, no variable names a file that is not there, and he is told', (_title, mount) => {
    const {container, warnings} = trusting({volumeMounts: [mount]});
    expect(container).toEqual({name: 'app', volumeMounts: [mount]});
    expect(warnings).toEqual([expect.stringMatching(/\/etc\/sallyport\/trust is left alone, its own mount at/)]);
  });

  test.each(['/etc/sallyport/trust2', '/etcetera', '/data'])('at %s, the two are beside each other', (mountPath) => {
    const {container, warnings} = trusting({volumeMounts: [own(mountPath)]});
    expect(container.volumeMounts).toHaveLength(2);
    expect(warnings).toEqual([]);
  });
});

test("the distributions' own files are mounted over where that is asked for, but for those in an author's mount", () => {
  const {container, warnings} = trusting({volumeMounts: [{name: 'own', mountPath: '/etc/ssl'}]}, true);
  expect(container.volumeMounts!.slice(1)).toEqual([
    {name: 'sallyport-trust', mountPath: '/etc/sallyport/trust', readOnly: true},
    {
      ...{name: 'sallyport-trust', mountPath: '/etc/pki/tls/certs/ca-bundle.crt'},
      ...{subPath: 'bundle.crt', readOnly: true},
    },
  ]);
  expect(warnings).toEqual([
    expect.stringMatching(/ca-certificates\.crt is left alone, its own mount at \/etc\/ssl is/),
  ]);
});

describe('the volume', () => {
  const pod = (...volumes: object[]): Pod => ({metadata: {}, spec: {containers: [], volumes: volumes as []}});
  const ours = {name: 'sallyport-trust', configMap: {name: 'sallyport-trust', defaultMode: 0o444}};
  test.each<[string, Pod, boolean, object[]]>([
    ['is added', pod(), true, [ours]],
    ['is there already', pod(ours), true, [ours]],
    [
      "is not the author's of the same name, from which a container could bring a CA of its own",
      pod({name: 'sallyport-trust', emptyDir: {}}),
      false,
      [{name: 'sallyport-trust', emptyDir: {}}],
    ],
  ])('%s', (_title, one, done, volumes) => {
    expect(addTrustVolume(one, INSTALLATION)).toBe(done);
    expect(one.spec.volumes).toEqual(volumes);
    expect(hasTrustVolume(one, INSTALLATION)).toBe(done);
  });
});
