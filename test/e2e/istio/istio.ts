/** A real Istio: pods with its sidecar, and one without, under one policy. */
import {chmodSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {RESOLVER} from '../../conformance/world/world.ts';
import {startSquid, startTinyproxy, type Parent} from '../../mesh/parents.ts';
import type {Cluster} from '../cluster/cluster.ts';
import {kubeconfigOf} from '../cluster/control.ts';
import {NAMESPACE, rolledOut, upgrade} from '../installation.ts';
import type {Internet} from '../internet.ts';
import {leave, makePod} from '../pods.ts';
import {eventually, expect, type Report} from '../report.ts';
import {companyCa, EXTAUTHZ_NAME, EXTAUTHZ_VALUES, meshCertificate} from './certificates.ts';
import {istioImages} from './images.ts';
import {installIstio, ISTIO_NAMESPACE, uninstallIstio} from './installation.ts';
import {INTENT, LABELS, MESHED, PARENT_NAMES, PARENTS, PLAIN, POLICIES, SITES, sites, urlOf} from './intent.ts';
import {ask, byAgent, bySidecar, meshedPod, QUESTIONS, type Answer, type Question} from './questions.ts';

const CLI = fileURLToPath(new URL('../../../cli/main.ts', import.meta.url));
const TPROXY = {'sallyport.dev/mode': 'tproxy'};

type Parents = Readonly<Record<keyof typeof PARENTS, Parent>>;

export async function istio(cluster: Cluster, internet: Internet, report: Report): Promise<void> {
  report.suite('Istio');
  const {lab} = cluster.machine;
  // They run as users of their own, who have to reach their folders.
  const own = mkdtempSync(join(tmpdir(), 'sallyport-istio-parents-'));
  chmodSync(own, 0o755);
  lab.setResolver('internet', RESOLVER);
  const {squid, tinyproxy} = PARENTS;
  const parents: Parents = {
    squid: await startSquid(lab, own, RESOLVER, {ips: [squid.ip], port: squid.port}),
    tinyproxy: await startTinyproxy(lab, own, RESOLVER, {ips: [tinyproxy.ip], port: tinyproxy.port}),
  };
  try {
    const manifest = await install(cluster, internet, report);
    if (manifest === null) return;
    await compare(cluster, report, parents);
    await refusals(cluster, report, parents);
    await report.step('Istio is gone again, and nothing of it is in the way', async () => {
      await leave(cluster, [MESHED, PLAIN], ['upstreamproxies', 'clusteregresspolicies']);
      await uninstallIstio(cluster, manifest);
      await upgrade(cluster, {});
      await rolledOut(cluster);
    });
  } finally {
    await Promise.all(Object.values(parents).map((parent) => parent.stop()));
    rmSync(own, {recursive: true, force: true});
  }
}

/** Istio, extauthz, the objects of mesh-config, and pods; null where one of it fails, since nothing else could be said then. */
async function install(cluster: Cluster, internet: Internet, report: Report): Promise<string | null> {
  const intent = join(cluster.machine.dir, 'mesh-egress.yaml');
  writeFileSync(intent, INTENT);
  const meshConfig = async (...argv: string[]): Promise<string> => {
    const ran = await cluster.machine.run([process.execPath, CLI, 'mesh-config', ...argv, '-f', intent]);
    expect(ran.status === 0, ran.stderr + ran.stdout);
    return ran.stdout;
  };
  const here = ['--kubeconfig', kubeconfigOf(cluster.machine, 'admin')];
  let manifest = '';
  const steps: readonly (readonly [string, () => Promise<string | void>])[] = [
    [
      'istiod and its injector, with the mesh configuration that mesh-config says, and a CA of the company’s',
      async () => {
        await cluster.importImages(await istioImages(join(cluster.machine.dir, 'istio-images'), () => undefined));
        await cluster.must(['create', 'namespace', ISTIO_NAMESPACE]);
        await companyCa(cluster);
        const started = Date.now();
        manifest = await installIstio(cluster, await meshConfig('generate', '-o', 'values'));
        return `ready ${Date.now() - started} ms after istioctl`;
      },
    ],
    [
      'the chart’s extauthz, which takes certificates of the mesh only',
      async () => {
        await upgrade(cluster, EXTAUTHZ_VALUES);
        await rolledOut(cluster);
        await cluster.must(['-n', NAMESPACE, 'rollout', 'status', 'deployment/sallyport-extauthz', '--timeout=120s']);
      },
    ],
    [
      'mesh-config apply',
      async () => {
        for (const name of [MESHED, PLAIN]) await cluster.must(['create', 'namespace', name]);
        await cluster.must(['label', 'namespace', MESHED, 'istio-injection=enabled']);
        await cluster.must(['label', 'namespace', PLAIN, 'sallyport.dev/injection=enabled']);
        for (const object of [...POLICIES, ...sites(internet.addresses)])
          await cluster.must(['apply', '-f', '-'], JSON.stringify(object));
        const started = Date.now();
        const said = await meshConfig('apply', ...here);
        return `${said.trim().split('\n').length} objects in ${Date.now() - started} ms`;
      },
    ],
    [
      'pods with a sidecar, told of squid, of tinyproxy, of none; and a pod without one',
      async () => {
        for (const name of PARENT_NAMES)
          await makePod(cluster, {
            ...{namespace: MESHED, name, labels: LABELS},
            env: {https_proxy: urlOf(name), http_proxy: urlOf(name)},
          });
        await makePod(cluster, {namespace: MESHED, name: 'direct', labels: LABELS});
        await makePod(cluster, {namespace: PLAIN, name: 'app', labels: {...LABELS, ...TPROXY}});
      },
    ],
    ['mesh-config verify finds nothing in the way', async () => (await meshConfig('verify', ...here)).trim()],
  ];
  for (const [name, run] of steps) if (!(await report.step(name, run))) return null;
  return manifest;
}

/** Everything that is asked, by both kinds of pods; one table. */
async function compare(cluster: Cluster, report: Report, parents: Parents): Promise<void> {
  const rows: string[][] = [];
  for (const question of QUESTIONS) {
    const {what, scheme, host, path, by, allowed} = question;
    await report.step(`${what}: ${allowed ? 'reached' : 'refused'}, and the same decision in both`, async () => {
      const heard = (): number => (by === null ? 0 : parents[by].asked().length);
      const before = heard();
      let seen = await ask(cluster, MESHED, meshedPod(question), question);
      // A pod that has just started: its sidecar may not have heard of everything yet.
      if (allowed && seen !== '200')
        await eventually(`200, not ${seen}`, async () => {
          seen = await ask(cluster, MESHED, meshedPod(question), question);
          return seen === '200';
        });
      const passed = heard();
      if (by !== null) expect(passed > before === allowed, `${by} was ${allowed ? 'not ' : ''}asked for it`);
      const meshed: Answer = {seen, ...(await bySidecar(cluster, question))};
      const plain: Answer = {
        seen: await ask(cluster, PLAIN, 'app', question),
        ...(await byAgent(cluster, question)),
      };
      if (by !== null)
        expect(heard() > passed === allowed, `${by} was ${allowed ? 'not ' : ''}asked for it by the agent`);
      rows.push([`${scheme}://${host}${path}`, wayOf(question), cell(meshed), cell(plain)]);
      for (const [who, {seen, verdict}] of Object.entries({'the sidecar': meshed, 'the agent': plain})) {
        expect((seen === '200') === allowed, `${who}’s pod saw ${seen}`);
        expect(verdict === (allowed ? 'allow' : 'deny'), `${who} says ${verdict}`);
      }
      expect(decision(meshed) === decision(plain), `${cell(meshed)} in the mesh, ${cell(plain)} by the agent`);
      return cell(meshed);
    });
  }
  report.table(['asked for', 'in the mesh', 'with a sidecar', 'without, by the agent'], rows);
}

const wayOf = ({told, by}: Question): string => {
  if (told !== null) return `https_proxy: ${told}`;
  return by === null ? 'directly' : `chained, ${by}`;
};
const decision = ({verdict, reason, policy, rule}: Answer): string => [verdict, reason, policy, rule].join(' ');
const cell = ({seen, reason, policy, rule}: Answer): string =>
  [seen, reason, ...(policy === '' ? [] : [rule === '' ? policy : `${policy}/${rule}`])].join(', ');

/** What is refused in the mesh for other reasons than a name or a path. */
async function refusals(cluster: Cluster, report: Report, parents: Parents): Promise<void> {
  const curl = (pod: string, ...argv: string[]) =>
    cluster.kubectl(['exec', '-n', MESHED, pod, '-c', 'app', '--', 'curl', '-sk', '--max-time', '10', ...argv]);
  await report.step('a rule for one proxy does not open the other', async () => {
    const heard = parents.tinyproxy.asked().length;
    const {stdout, status} = await curl('tinyproxy', '-w', '%{http_connect}', `https://${SITES.squid}/`);
    expect(status !== 0 && stdout === '502', `${status} ${stdout}`);
    expect(parents.tinyproxy.asked().length === heard, 'it was asked');
  });
  await report.step('a site that the mesh does not know stays closed', async () => {
    const {status} = await curl('direct', 'telnet://database.partner.example:5432');
    expect(status !== 0, 'it was reached');
  });
  await report.step('extauthz answers nobody without a certificate of the mesh', async () => {
    await makePod(cluster, {namespace: PLAIN, name: 'free', labels: {}});
    const status = async (certificate: string, ...argv: string[]): Promise<string> => {
      const curl = ['curl', '-sk', '--http2', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '10', ...argv];
      const {stdout} = await cluster.kubectl(
        ['exec', '-i', '-n', PLAIN, 'free', '--', 'sh', '-c', 'cat > /tmp/mesh.pem; exec "$@"', 'sh', ...curl],
        certificate,
      );
      return stdout;
    };
    const url = `https://${EXTAUTHZ_NAME}:9000/`;
    // No question, so it is refused; but by an answer.
    const known = await status(meshCertificate(cluster), '--cert', '/tmp/mesh.pem', url);
    expect(known !== '000', 'nobody is answered at all');
    const unknown = await status('', url);
    expect(unknown === '000', `it answered ${unknown}`);
    return `${known} with one`;
  });
  await report.step('while extauthz is away everything is refused', async () => {
    await cluster.must(['-n', NAMESPACE, 'scale', 'deployment/sallyport-extauthz', '--replicas=0']);
    await cluster.must([
      '-n',
      NAMESPACE,
      'wait',
      '--for=delete',
      'pod',
      '-l',
      'app.kubernetes.io/component=extauthz',
      '--timeout=60s',
    ]);
    const {stdout} = await curl('squid', '-w', '%{http_connect}', `https://${SITES.squid}/`);
    expect(stdout === '503', `CONNECT ${stdout}`);
  });
}
