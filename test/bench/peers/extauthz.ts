/** Our own ext_authz service with so many rules, decision log on. */
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {ruleTexts} from '../decide.ts';
import type {CheckPeer} from './check-peer.ts';

export const extauthz = (rules: number): CheckPeer => ({
  name: `sallyport, ${rules.toLocaleString('en')} rules`,
  missing: () => null,
  prepare({dir, source, port, resolver}) {
    const policy = join(dir, 'policy.yaml');
    const workloads = join(dir, 'workloads.yaml');
    writeFileSync(policy, ruleTexts(rules));
    writeFileSync(
      workloads,
      stringify([{ips: [source], namespace: 'shop', name: 'web-1', labels: {app: 'shop'}, trustsCa: true}]),
    );
    return [
      ...[process.execPath, 'cli/main.ts', 'extauthz', '--policy', policy, '--workloads', workloads],
      ...['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${port + 1}`, '--resolver', resolver],
      ...['--log-format', 'json'],
    ];
  },
});
