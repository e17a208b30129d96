/** Identities from a real issuer beside a real API server: of a pod, of a node's pods, renewed, and gone with the controller. */
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, afterEach, beforeAll, describe, expect} from '@jest/globals';
import {startIssuing, type Issuing, type TestPod} from '../../../test/cluster/issuing.ts';
import {clusterTest} from '../../../test/cluster/require.ts';
import type {Role} from '../../../test/cluster/role.ts';
import type {Identity, IdentitySource} from './identity.ts';
import {openIssuedIdentity, openNodeIdentities, type NodeIdentities, type WantedPod} from './issued.ts';
import {heardJournal} from './testing.ts';
import {verifyPeer} from './verify-peer.ts';

const LONG_MS = 120_000;
const LIFE_SECONDS = 8;
const WEB = 'spiffe://cluster.local/ns/shop/sa/web';
const ADMIN = 'spiffe://cluster.local/ns/shop/sa/admin';

let issuing: Issuing;
let issuer: {role: Role; port: number};
beforeAll(async () => {
  issuing = await startIssuing();
  issuer = await issuing.startIssuer('--identity-life', `${LIFE_SECONDS}s`);
}, 180_000);
afterAll(() => issuing?.stop());

const sources: IdentitySource[] = [];
const dirs: string[] = [];
afterEach(() => {
  for (const source of sources.splice(0)) source.stop();
  for (const dir of dirs.splice(0)) rmSync(dir, {recursive: true});
});

function access(token: string, port = issuer.port): {host: string; port: number; caFile: string; tokenFile: string} {
  const dir = mkdtempSync(join(issuing.cluster.dir, 'token-'));
  dirs.push(dir);
  writeFileSync(join(dir, 'token'), token);
  return {host: 'localhost', port, caFile: issuing.caFile, tokenFile: join(dir, 'token')};
}
const tokenOf = (pod: TestPod, serviceAccount: string): string => issuing.token(pod.namespace, serviceAccount, pod);
const wanted = (pod: TestPod, serviceAccount: string): WantedPod => ({...pod, serviceAccount});

/** Of the identity as it changes; rejects with what was said where it does not come to it. */
function until(
  source: IdentitySource,
  uid: string,
  fits: (identity: Identity | null) => boolean,
  heard: ReturnType<typeof heardJournal>['heard'],
): Promise<Identity | null> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const identity = source.current(uid);
      if (!fits(identity)) return;
      clearTimeout(late);
      stop();
      resolve(identity);
    };
    const late = setTimeout(() => {
      stop();
      reject(new Error(heard.map(({message}) => message).join('\n')));
    }, LONG_MS / 2);
    const stop = source.onChange(look);
    look();
  });
}
const is = (identity: Identity | null): identity is Identity => identity !== null;

describe('a pod', () => {
  clusterTest()(
    'has the identity of its token, renews it with another key before it ends, and has one at every moment in between',
    async () => {
      const {journal, heard} = heardJournal();
      const pod = issuing.pod('web', 'node-1');
      const source = openIssuedIdentity({issuer: access(tokenOf(pod, 'web')), trustDomain: 'cluster.local', journal});
      sources.push(source);
      let identity = (await until(source, pod.uid, is, heard))!;
      for (let i = 0; i < 3; i++) {
        expect(identity.spiffeId).toBe(WEB);
        expect(verifyPeer(identity.chainPem, identity.rootsPem, WEB, Date.now())).toEqual({ok: true});
        const before = identity;
        // Never null: what is waited for is the next one, or none.
        identity = (await until(source, pod.uid, (now) => now !== before, heard))!;
        expect(identity).not.toBeNull();
        expect(identity.keyPem).not.toBe(before.keyPem);
        expect(identity.notAfterMs).toBeGreaterThan(before.notAfterMs);
      }
      expect(heard.filter(({level}) => level === 'error')).toEqual([]);
    },
    LONG_MS,
  );

  clusterTest()(
    'keeps the last one while the issuer is away, until its end; then it has none, and it is said',
    async () => {
      const {journal, heard} = heardJournal();
      const away = await issuing.startIssuer('--identity-life', `${LIFE_SECONDS}s`);
      const pod = issuing.pod('web', 'node-1');
      const of = {issuer: access(tokenOf(pod, 'web'), away.port), trustDomain: 'cluster.local', journal};
      const source = openIssuedIdentity(of);
      sources.push(source);
      await until(source, pod.uid, is, heard);
      await away.role.stop();
      expect(is(source.current(pod.uid))).toBe(true);
      await until(source, pod.uid, (identity) => identity === null, heard);
      expect(heard.map(({event}) => event)).toContain('identity.ended');
      expect(heard.find(({event}) => event === 'identity.failed')!.message).toMatch(
        /IssuerAway: .*localhost.*the last one is used until 2/,
      );
    },
    LONG_MS,
  );

  clusterTest()(
    'asks nobody who is not known by the CA: its token is worth an identity',
    async () => {
      const {journal, said} = heardJournal();
      const pod = issuing.pod('web', 'node-1');
      const stranger = access(tokenOf(pod, 'web'));
      const caFile = join(issuing.cluster.dir, 'no-ca.crt');
      writeFileSync(caFile, '');
      sources.push(openIssuedIdentity({issuer: {...stranger, caFile}, trustDomain: 'cluster.local', journal}));
      const {level, message} = await said(({event}) => event === 'identity.failed');
      expect([level, message]).toEqual(['error', expect.stringMatching(/IssuerAway: .*CA file holds no certificate/)]);
    },
    LONG_MS,
  );
});

describe("a node's agent", () => {
  const open = (): {source: NodeIdentities} & Omit<ReturnType<typeof heardJournal>, 'journal'> => {
    const {journal, heard, said} = heardJournal();
    const agent = issuing.pod('sallyport-node', 'node-1', {namespace: 'sallyport'});
    const source = openNodeIdentities({
      issuer: access(tokenOf(agent, 'sallyport-node')),
      ...{trustDomain: 'cluster.local', journal},
    });
    sources.push(source);
    return {source, heard, said};
  };

  clusterTest()(
    'has one for each ServiceAccount of its pods, and none of an account whose pods are gone',
    async () => {
      const {source, heard} = open();
      const [one, two, admin] = [
        issuing.pod('web', 'node-1'),
        issuing.pod('web', 'node-1'),
        issuing.pod('admin', 'node-1'),
      ];
      source.want([wanted(one, 'web'), wanted(two, 'web'), wanted(admin, 'admin')]);
      expect((await until(source, one.uid, is, heard))!.spiffeId).toBe(WEB);
      expect(source.current(two.uid)).toBe(source.current(one.uid));
      expect((await until(source, admin.uid, is, heard))!.spiffeId).toBe(ADMIN);
      source.want([wanted(two, 'web')]);
      expect([is(source.current(two.uid)), source.current(admin.uid), source.current(one.uid)]).toEqual([
        ...[true, null, null],
      ]);
    },
    LONG_MS,
  );

  clusterTest()(
    'asks with another pod of the account where one has ended meanwhile',
    async () => {
      const {source, heard} = open();
      const there = issuing.pod('web', 'node-1');
      const gone = {...there, name: 'gone', uid: 'gone'};
      source.want([wanted(gone, 'web'), wanted(there, 'web')]);
      expect((await until(source, there.uid, is, heard))!.spiffeId).toBe(WEB);
      expect(heard.find(({event}) => event === 'identity.failed')!.message).toMatch(/NoSuchPod/);
    },
    LONG_MS,
  );

  clusterTest()(
    'has none of a pod of another node',
    async () => {
      const {source, heard, said} = open();
      const [there, here] = [issuing.pod('admin', 'node-2'), issuing.pod('web', 'node-1')];
      source.want([wanted(there, 'admin'), wanted(here, 'web')]);
      await until(source, here.uid, is, heard);
      const {message} = await said((one) => one.event === 'identity.failed');
      expect(source.current(there.uid)).toBeNull();
      expect(message).toMatch(/shop\/admin: IssuerRefused: .*WrongNode/);
    },
    LONG_MS,
  );
});
